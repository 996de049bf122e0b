/** Asks the drachtio-server that the environment names whether it would take an edge: one connection, one authenticate frame. */
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';

const withinMs = 3000;

/** Resolves with undefined when it would, else with the reason why not. */
export function whyNot({
  DRACHTIO_HOST: host = '127.0.0.1',
  DRACHTIO_PORT: port = '9022',
  DRACHTIO_SECRET: secret = 'cymru',
}) {
  if (!/^\d{1,5}$/.test(port)) return Promise.resolve(`DRACHTIO_PORT is no port: ${port}`);
  const server = `the drachtio-server at ${host}:${port}`;
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) });
    const end = (why) => {
      socket.destroy();
      resolve(why);
    };
    let heard = '';
    socket.setEncoding('latin1');
    socket.setTimeout(withinMs, () => end(`${server} keeps silent`));
    socket.once('error', (error) => end(`${server} cannot be reached: ${error.code ?? error.message}`));
    socket.once('connect', () => {
      const payload = `${randomUUID()}|authenticate|${secret}|`;
      socket.write(`${Buffer.byteLength(payload)}#${payload}`);
    });
    socket.on('data', (chunk) => {
      heard += chunk;
      const frame = /^(\d+)#/.exec(heard);
      if (frame === null || heard.length < frame[0].length + Number(frame[1])) return;
      const [, type, , status, text] = heard.slice(frame[0].length).split('|');
      if (type === 'response' && status === 'OK') end(undefined);
      else end(`${server} refuses us${text ? `: ${text.trim()}` : ''} (is DRACHTIO_SECRET right?)`);
    });
    socket.once('close', () => end(`${server} closed the connection`));
  });
}
