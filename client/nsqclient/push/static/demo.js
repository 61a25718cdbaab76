import { NsqPush } from "/nsq.js";

const MOST_ROWS = 200;
const at = (id) => document.getElementById(id);
let push = null;

function say(state, detail) {
  at("state").textContent = detail ? `${state}: ${detail}` : state;
  at("state").className = state;
  at("disconnect").disabled = state === "closed" && push === null;
}

function show(message, answer) {
  const row = at("messages").insertRow(0);
  const from = message.channel ? `${message.topic}/${message.channel}` : message.topic;
  const body = message.body ?? `${message.bytes.length} bytes`;
  const time = message.timestamp.toLocaleTimeString();
  for (const text of [time, `${from} (${message.kind})`, message.attempts, body, answer]) {
    row.insertCell().textContent = text;
  }
  at("none").hidden = true;
  while (at("messages").rows.length > MOST_ROWS) at("messages").deleteRow(-1);
}

function handle(message) {
  const refuse = at("refuse").checked;
  show(message, refuse ? "handed back" : "acknowledged");
  if (refuse) message.nack(5);
}

at("connect").addEventListener("submit", (event) => {
  event.preventDefault();
  push?.close();
  push = new NsqPush({ token: at("token").value });
  push.onstate = (state, detail) => say(state, state === "open" ? `${push.user} at ${detail}` : detail);
  push.onmessage = handle;
  push.onerror = (error) => say(push.state, error.text ?? error.message ?? `${error.count} messages dropped`);
});

at("disconnect").addEventListener("click", () => {
  push?.close();
  push = null;
  say("closed", "");
});

at("subscribe").addEventListener("submit", (event) => {
  event.preventDefault();
  push?.subscribe(at("topic").value, handle, { channel: at("channel").value, max: Number(at("max").value) });
});
