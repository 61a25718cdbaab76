// nsqjs, remote-controlled as tests/system/programs/remote.py tells.
'use strict'

const fs = require('fs')
const readline = require('readline')
const {Reader, Writer} = require('nsqjs')

const settings = JSON.parse(process.argv[2])
const messages = new Map()
let writer
let reader

const say = (event, details = {}) => process.stdout.write(JSON.stringify({event, ...details}) + '\n')

function options() {
  const asked = settings.features
  const given = {}
  if (asked.msg_timeout) given.messageTimeout = asked.msg_timeout
  if (asked.heartbeat_interval) given.heartbeatInterval = asked.heartbeat_interval / 1000
  if (asked.sample_rate) given.sampleRate = asked.sample_rate
  if (asked.deflate) given.deflate = true
  if (asked.snappy) given.snappy = true
  if (asked.secret) given.authSecret = asked.secret
  if (asked.tls_ca) {
    given.tls = true
    given.ca = fs.readFileSync(asked.tls_ca)
    if (asked.tls_cert) {
      given.cert = fs.readFileSync(asked.tls_cert)
      given.key = fs.readFileSync(asked.tls_key)
    }
  }
  return given
}

function connected() {
  if (writer) return Promise.resolve()
  const [host, port] = settings.nsqd[0].split(':')
  writer = new Writer(host, Number(port), options())
  return new Promise((resolve) => {
    writer.on('ready', resolve)
    writer.on('error', (error) => {
      say('error', {error: String(error)})
      resolve()
    })
    writer.connect()
  })
}

async function publish(send) {
  await connected()
  await new Promise((resolve) => {
    send((error) => {
      if (error) say('refused', {error: String(error)})
      else say('published')
      resolve()
    })
  })
}

const bytes = (text) => Buffer.from(text, 'latin1')

const commands = {
  pub: (topic, body) => publish((done) => writer.publish(topic, bytes(body), done)),
  mpub: (topic, bodies) => publish((done) => writer.publish(topic, bodies.map(bytes), done)),
  // A message alone is not wrapped in a list by the library, which then refuses it.
  dpub: (topic, ms, body) => publish((done) => writer.deferPublish(topic, [bytes(body)], ms, done)),
  subscribe(topic, channel, maxInFlight) {
    reader = new Reader(topic, channel, {
      nsqdTCPAddresses: settings.nsqd,
      lookupdHTTPAddresses: settings.lookupd,
      maxInFlight,
      ...options(),
    })
    reader.on('error', (error) => say('error', {error: String(error)}))
    reader.on('message', (message) => {
      say('message', {id: message.id, body: message.body.toString('latin1'), attempts: message.attempts})
      if (settings.finish) message.finish()
      else messages.set(message.id, message)
    })
    reader.connect()
  },
  max_in_flight: (count) => (count ? reader.unpause() : reader.pause()),
  finish: (id) => messages.get(id).finish(),
  requeue: (id, ms) => messages.get(id).requeue(ms, false),
  touch: (id) => messages.get(id).touch(),
  close() {
    if (reader) reader.close()
    say('closed')
  },
}

async function main() {
  say('up')
  for await (const line of readline.createInterface({input: process.stdin})) {
    const [command, ...args] = JSON.parse(line)
    await commands[command](...args)
  }
  process.exit()
}

main()
