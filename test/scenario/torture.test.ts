/** Every message of RFC 4475 and RFC 5118, octet for octet, at the built edge over each transport: see support/torture-table.ts. */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { onDrachtio } from '../support/edge.ts';
import { titled } from '../support/needs.ts';
import { outcomeOver, type Torture, torture } from '../support/torture-table.ts';
import { messageOf, TortureWorld } from '../support/torture-world.ts';

/**
 * Some messages of the suites share a branch and a sent-by, which makes one transaction of them. Each of these rounds has a
 * server of its own.
 */
function rounds(): Torture[][] {
  const made: { readonly keys: Set<string>; readonly messages: Torture[] }[] = [];
  for (const message of torture) {
    const text = messageOf(message.suite, message.name).toString('latin1');
    const key = `${text.split(' ', 1)[0]} ${/^v(?:ia)?[ \t]*:.*$/im.exec(text)?.[0]}`;
    let round = made.find(({ keys }) => !keys.has(key));
    if (round === undefined) {
      round = { keys: new Set(), messages: [] };
      made.push(round);
    }
    round.keys.add(key);
    round.messages.push(message);
  }
  return made.map(({ messages }) => messages);
}

test('no message of the suites is left out', () => {
  for (const suite of ['rfc4475', 'rfc5118']) {
    const kept = readdirSync(new URL(`../fixtures/${suite}/`, import.meta.url)).map((file) => file.replace('.sip', ''));
    const listed = torture.filter((each) => each.suite === suite).map(({ name }) => name);
    expect(listed.toSorted()).toEqual(kept.toSorted());
  }
});

const theirs = onDrachtio
  ? 'drachtio-server decides otherwise about many of them (drachtio-protocol.md B.1)'
  : undefined;
const suites = describe.skipIf(onDrachtio).each(['udp', 'tcp', 'ws'] as const);
suites(titled('[EDGE-TRN-06] [EDGE-TRN-10] the torture suites over %s', theirs), (transport) => {
  const played = rounds();
  const worlds: TortureWorld[] = [];
  beforeAll(async () => {
    while (worlds.length < played.length) worlds.push(await TortureWorld.open(transport));
  });
  afterAll(async () => {
    for (const each of worlds) expect(await each.close()).toEqual({ code: 0, crashes: [] });
  });

  test.each(played.map((messages, at) => ({ round: at + 1, messages })))(
    'round $round: each message has its outcome, and the next REGISTER works',
    async ({ round, messages }) => {
      const edge = worlds[round - 1] as TortureWorld;
      const differences: string[] = [];
      for (const message of messages) {
        const { name, carries = [], lacks = [], told = [] } = message;
        const { answers, forwarded = '', closes = false } = outcomeOver(message, transport);
        const seen = await edge.send(messageOf(message.suite, name), { answers: answers.length, closes });
        const got = `${seen.answers.join(' ')} / ${seen.forwarded.map((text) => text.split(' ', 1)[0]).join(' ')}`;
        const wanted = `${[...answers, ...(closes ? ['closed'] : [])].join(' ')} / ${forwarded}`;
        if (got !== wanted) differences.push(`${name}: wanted ${wanted}, got ${got}`);
        const [passed = ''] = seen.forwarded;
        const [answer = ''] = seen.texts;
        for (const octets of carries)
          if (forwarded !== '' && !passed.includes(octets)) differences.push(`${name}: lost ${octets}`);
        for (const octets of lacks) if (passed.includes(octets)) differences.push(`${name}: passed ${octets}`);
        for (const octets of told) if (!answer.includes(octets)) differences.push(`${name}: did not tell ${octets}`);
      }
      expect(differences).toEqual([]);
    },
  );

  test('what only one fault of a message hides', async () => {
    // where what these are made of has not been sent
    const edge = worlds.at(-1) as TortureWorld;
    const changed = (name: string, change: (text: string) => string, suite = 'rfc4475'): Buffer =>
      Buffer.from(change(messageOf(suite, name).toString('latin1')), 'latin1');
    // scalar02 with a CSeq that fits: the other numbers count as absent (RFC 4475 3.1.2.4)
    const numbers = await edge.send(
      changed('scalar02', (text) => text.replace('36893488147419103232', '7')),
      { answers: 1, closes: false },
    );
    expect(numbers.answers).toEqual([200]);
    expect(numbers.texts[0]).toMatch(/^Contact: <sip:user@host129.example.com>.*;expires=(3600|600)\b/m);
    // regescrt with another host: the escaped header is kept and returned (RFC 4475 3.3.14)
    const escaped = await edge.send(
      changed('regescrt', (text) => text.replace('M: <sip:user@example.com', 'M: <sip:user@host5.example.com')),
      { answers: 1, closes: false },
    );
    expect(escaped.texts[0]).toContain('<sip:user@host5.example.com?Route=%3Csip:sip.example.com%3E>');
    // ipv6-in-sdp with the length it has (RFC 5118 4.6)
    const long = await edge.send(
      changed('ipv6-in-sdp', (text) => text.replace('268', '251'), 'rfc5118'),
      { answers: 1, closes: false },
    );
    expect(long.answers).toEqual([404]);
    expect(long.forwarded[0]).toContain('c=IN IP6 2001:db8::20');
  });
});
