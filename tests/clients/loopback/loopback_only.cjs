// Keeps a Node client on loopback, and notes in LOOPBACK_LOG where else it wanted to go.
const fs = require('node:fs');
const net = require('node:net');

const LOOPBACK = /^(?:127\.0\.0\.1|::1|(?:[a-z0-9-]+\.)*localhost)$/i;
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...args) {
  const [options] = Array.isArray(args[0]) ? args[0] : args;
  const named = typeof options === 'object' ? options : { port: options, host: args[1] };
  const host = named.host ?? 'localhost';
  if (named.path || LOOPBACK.test(host)) return connect.apply(this, args);
  fs.appendFileSync(process.env.LOOPBACK_LOG, `${host}:${named.port}\n`);
  const error = new Error(`${host} is not on loopback`);
  process.nextTick(() => this.destroy(error));
  return this;
};
