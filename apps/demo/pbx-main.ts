/** The PBX of the demo as a process: registrar with digest, calls the contact it was given. Commands: start, call, hang-up. */
import { obey, tell } from './json-lines.ts';
import { Media } from './media.ts';
import { Pbx } from './pbx.ts';
import { describe } from './rungs.ts';
import { monotonicMs } from './ua.ts';

let pbx: Pbx | undefined;
let hangUp: () => void = () => undefined;

obey({
  async start(line) {
    pbx = await Pbx.open({
      transport: line['transport'] === 'tcp' ? 'tcp' : 'udp',
      address: String(line['address']),
      domain: String(line['domain']),
      users: line['users'] as never,
      onCrossing: ({ atMs, direction, message, copy }) => {
        if (!copy) tell('crossing', { atMs, direction, ...describe(message) });
      },
    });
    tell('ready', { port: pbx.ua.local.port });
  },
  async call(line) {
    if (pbx === undefined) throw new Error('start me first');
    const media = await Media.open(pbx.options.address);
    const call = pbx.call(String(line['user']), { body: media.sdp() });
    const answer = await call.answer();
    tell('answered', { status: answer.status });
    if (call.dialog === undefined) return media.close();
    const { dialog } = call;
    const hungUp = new Promise<void>((done) => {
      hangUp = done;
    });
    media.talkTo(answer.body);
    await media.first;
    tell('talking', { atMs: monotonicMs(), rtp: media.received });
    const by = await Promise.race([dialog.ended.then(() => 'them' as const), hungUp.then(() => 'us' as const)]);
    const status = by === 'us' ? (await dialog.bye()).status : 200;
    media.close();
    tell('ended', { by, status });
  },
  async 'hang-up'() {
    hangUp();
  },
});
