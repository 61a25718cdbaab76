// The browser's side of nsq_to_ws (protocol nsq.v1).
//
//   import { NsqPush } from "/nsq.js";
//   const push = new NsqPush({ token: () => fetch("/my/token").then((answer) => answer.text()) });
//   push.onmessage = (message) => show(message.json());          // what is addressed to this user
//   push.subscribe("prices", (message) => draw(message.json())); // what everybody gets
//   push.subscribe("jobs", work, { channel: "agents", max: 5 }); // a share of the work
//
// A message is acknowledged when its handler returns, or the promise that it returned is kept; it is handed
// back when the handler throws. Connections that end are made again, after a random pause that grows, and
// everything is subscribed again.

const GOING_AWAY = 1001;
const UNAUTHORIZED = 4401;
const STEADY = 10_000; // milliseconds after which a connection counts as a good one
const LONGEST_RETRY = 30; // seconds between attempts to subscribe

/** One message; `body` is text, `bytes` holds what is not. */
export class Message {
  constructor(push, socket, frame) {
    this.id = frame.id;
    this.topic = frame.topic;
    this.channel = frame.channel ?? "";
    this.kind = frame.kind;
    this.attempts = frame.attempts;
    this.timestamp = new Date(frame.timestamp);
    this.body = frame.body ?? null;
    this.bytes =
      frame.body64 === undefined ? null : Uint8Array.from(atob(frame.body64), (c) => c.charCodeAt(0));
    this.answered = false;
    this._seq = frame.seq;
    this._push = push;
    this._socket = socket;
  }

  /** What the body says, as JSON. */
  json() {
    return JSON.parse(this.body);
  }

  /** It was handled. */
  ack() {
    if (this.answered) return;
    this.answered = true;
    this._push._ack(this._seq, this._socket);
  }

  /** It is to come again, to this browser or another; after `delay` seconds. */
  nack(delay) {
    this._answer({ op: "nack", seq: this._seq, delay });
  }

  /** It needs more time. */
  touch() {
    if (!this.answered) this._push._send({ op: "touch", seq: this._seq }, this._socket);
  }

  _answer(command) {
    if (this.answered) return;
    this.answered = true;
    this._push._send(command, this._socket); // an answer on another connection would mean another message
  }
}

export class NsqPush {
  /**
   * `url`: of the WebSocket; the default is /ws of this host.
   * `token`: a text, or a function that returns one or a promise of one; it is called at each connect.
   * `minPause`, `maxPause`: seconds between attempts to connect.
   */
  constructor({ url, token, minPause = 0.5, maxPause = 30, heartbeat = 30 } = {}) {
    this.url = url ?? `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
    this.onmessage = null; // (message) => ..., for what is addressed to this user
    this.onstate = null; // (state, detail) => ..., "connecting", "open", "closed"
    this.onerror = null; // (error) => ..., what the bridge refuses, and what handlers throw
    this.state = "closed";
    this.user = null;
    this._token = token;
    this._minPause = minPause;
    this._maxPause = maxPause;
    this._heartbeat = heartbeat;
    this._subscriptions = new Map();
    this._failures = 0;
    this._stopped = false;
    this._socket = null;
    this._timer = undefined; // runs while the next attempt to connect is waited for
    this._wake = () => this._hurry();
    globalThis.addEventListener?.("online", this._wake);
    globalThis.document?.addEventListener("visibilitychange", this._wake);
    this._connect();
  }

  /** Hears a topic; with `channel` it takes a share of that channel's messages, `max` at a time. */
  subscribe(topic, handler, { channel = "", max = 1 } = {}) {
    clearTimeout(this._subscriptions.get(`${topic}/${channel}`)?.retry);
    this._subscriptions.set(`${topic}/${channel}`, { topic, channel, max, handler, failures: 0 });
    if (this.state === "open") this._send({ op: "subscribe", topic, channel, max });
  }

  unsubscribe(topic, channel = "") {
    clearTimeout(this._subscriptions.get(`${topic}/${channel}`)?.retry);
    this._subscriptions.delete(`${topic}/${channel}`);
    if (this.state === "open") this._send({ op: "unsubscribe", topic, channel });
  }

  /** Ends it for good. */
  close() {
    this._stopped = true;
    clearTimeout(this._timer);
    clearInterval(this._pinging);
    for (const subscription of this._subscriptions.values()) clearTimeout(subscription.retry);
    globalThis.removeEventListener?.("online", this._wake);
    globalThis.document?.removeEventListener("visibilitychange", this._wake);
    this._socket?.close(1000);
    this._become("closed", "closed by the page");
  }

  async _connect() {
    this._timer = undefined;
    this._become("connecting");
    let token;
    try {
      token = typeof this._token === "function" ? await this._token() : this._token;
    } catch (error) {
      this._again(`no token: ${error}`);
      return;
    }
    if (this._stopped) return;
    const socket = new WebSocket(this.url, "nsq.v1");
    this._socket = socket;
    socket.onopen = () => {
      this._send({ op: "auth", token: token ?? "" }, socket);
      this._watch(socket);
    };
    socket.onmessage = (event) => this._receive(socket, JSON.parse(event.data));
    socket.onclose = (event) => {
      if (socket !== this._socket) return;
      clearInterval(this._pinging);
      this._socket = null;
      // one that is closed as soon as it is open is a failure, too, however often that happens
      if (this._since !== undefined && performance.now() - this._since > STEADY) this._failures = 0;
      this._since = undefined;
      // all pages of a bridge are sent away together, and must not fall upon the next one together
      if (event.code === GOING_AWAY) this._failures = Math.max(this._failures, 2);
      // a token that is refused will be refused again at once, unless it is made anew
      if (event.code === UNAUTHORIZED && typeof this._token !== "function") this._failures += 4;
      this._again(`${event.code} ${event.reason}`.trim());
    };
  }

  _again(why) {
    if (this._stopped) return;
    this._become("closed", why);
    const longest = Math.min(this._maxPause, this._minPause * 2 ** this._failures);
    this._failures += 1;
    this._timer = setTimeout(() => this._connect(), 1000 * longest * (0.25 + 0.75 * Math.random()));
  }

  // The network is back, or somebody looks at the page: no time for long pauses.
  _hurry() {
    if (this._timer === undefined || globalThis.document?.hidden) return;
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._connect(), 1000 * Math.min(1, this._minPause) * Math.random());
  }

  _receive(socket, frame) {
    this._heard = true;
    if (frame.type === "message") {
      this._handle(new Message(this, socket, frame));
    } else if (frame.type === "welcome") {
      this._since = performance.now();
      this.user = frame.user;
      for (const subscription of this._subscriptions.values()) {
        clearTimeout(subscription.retry);
        const { topic, channel, max } = subscription;
        this._send({ op: "subscribe", topic, channel, max }, socket);
      }
      this._become("open", frame.node);
    } else if (frame.type === "subscribed") {
      const subscription = this._subscriptions.get(`${frame.topic}/${frame.channel ?? ""}`);
      if (subscription) subscription.failures = 0;
    } else if (frame.type === "error" || frame.type === "dropped" || frame.reason !== undefined) {
      if (frame.code === "UNAVAILABLE") this._subscribeAgain(socket, frame);
      this.onerror?.(frame);
    }
  }

  // The topic can't be received just now, as when nsqd is started anew.
  _subscribeAgain(socket, { topic, channel = "" }) {
    const subscription = this._subscriptions.get(`${topic}/${channel}`);
    if (!subscription) return;
    const pause = Math.min(LONGEST_RETRY, 2 ** subscription.failures);
    subscription.failures += 1;
    clearTimeout(subscription.retry);
    subscription.retry = setTimeout(
      () => this._send({ op: "subscribe", topic, channel, max: subscription.max }, socket),
      1000 * pause * (0.5 + 0.5 * Math.random()),
    );
  }

  async _handle(message) {
    const subscription = this._subscriptions.get(`${message.topic}/${message.channel}`);
    const handler = message.kind === "user" ? this.onmessage : subscription?.handler;
    if (!handler && message.kind === "topic") return message.ack(); // it was under way when the page unsubscribed
    if (!handler && message.kind === "work") return message.nack(0); // likewise, and others can do it
    try {
      if (!handler) throw new Error(`nobody handles ${message.topic}`);
      await handler(message);
      message.ack();
    } catch (error) {
      message.nack();
      this.onerror?.(error);
    }
  }

  // A connection can die without a word; a browser shows no pings, so it has to ask.
  _watch(socket) {
    clearInterval(this._pinging);
    this._heard = true;
    this._pinging = setInterval(() => {
      if (!this._heard) {
        socket.onclose({ code: 1006, reason: "nothing is heard any more" });
        socket.onclose = null;
        socket.close();
        return;
      }
      this._heard = false;
      this._send({ op: "ping" }, socket);
    }, 1000 * this._heartbeat);
  }

  // Messages that are handled in one go are acknowledged in one go.
  _ack(seq, socket) {
    socket.acks ??= [];
    if (socket.acks.push(seq) > 1) return;
    queueMicrotask(() => {
      const seqs = socket.acks;
      socket.acks = [];
      for (let at = 0; at < seqs.length; at += 500) {
        this._send({ op: "ack", seq: seqs.slice(at, at + 500) }, socket);
      }
    });
  }

  _send(command, socket = this._socket) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(command));
  }

  _become(state, detail = "") {
    this.state = state;
    this.onstate?.(state, detail);
  }
}
