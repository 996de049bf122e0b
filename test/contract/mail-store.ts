/** What every MailStore promises. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { MailStore, StoredMessage } from '../../lib/ports/mail-store.ts';

export function aMessage(id: string, more: Partial<StoredMessage> = {}): StoredMessage {
  return {
    id,
    aor: 'alice@example.com',
    uri: 'sip:alice@edge',
    headers: [['Content-Type', 'text/plain']],
    body: 'gr\u00fc\u00df \u0000\u00ff',
    from: 'upstream',
    storedAt: Date.now(),
    expiresAt: Date.now() + 60_000,
    ...more,
  };
}

export function mailStoreContract(
  name: string,
  make: () => Promise<{ readonly store: MailStore; readonly close: () => Promise<void> }>,
  skip?: string,
): void {
  describe.skipIf(skip !== undefined)(`mail store: ${name}${skip === undefined ? '' : ` (${skip})`}`, () => {
    let store: MailStore;
    let close: () => Promise<void>;
    beforeEach(async () => {
      ({ store, close } = await make());
    });
    afterEach(() => close());
    const ids = async (aor = 'alice@example.com') => (await store.waiting(aor)).map(({ id }) => id);

    test('gives back what was kept, octet for octet and in order', async () => {
      const [one, two] = [aMessage('1', { bindingId: 'b' }), aMessage('2', { aor: 'alice@example.com' })];
      expect([await store.keep(one, 10), await store.keep(two, 10)]).toEqual(['kept', 'kept']);
      expect(await store.waiting('alice@example.com')).toEqual([one, two]);
      expect(await store.waiting('bob@example.com')).toEqual([]);
    });

    test('keeps a copy once and no more than the limit, also of many at once', async () => {
      const all = await Promise.all(Array.from({ length: 20 }, (_, at) => store.keep(aMessage(`m${at % 10}`), 5)));
      expect(all.filter((one) => one === 'kept')).toHaveLength(5);
      expect(await ids()).toHaveLength(5);
      expect(new Set(await ids()).size).toBe(5);
      expect(await store.keep(aMessage((await ids())[0] as string), 5)).toBe('known');
    });

    test('drops one and leaves the order of the others; what is not there is dropped in vain', async () => {
      for (const id of ['1', '2', '3']) await store.keep(aMessage(id), 10);
      await Promise.all([store.drop('alice@example.com', '2'), store.drop('alice@example.com', 'x')]);
      expect(await ids()).toEqual(['1', '3']);
      for (const id of ['1', '3']) await store.drop('alice@example.com', id);
      expect(await ids()).toEqual([]);
    });

    test('shows every AOR that has messages', async () => {
      const aors = Array.from({ length: 30 }, (_, at) => `us{er${at}@example.com`);
      for (const aor of aors) await store.keep(aMessage('1', { aor }), 10);
      const seen = new Set<string>();
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const page = await store.scan(cursor, 7);
        for (const aor of page.aors) seen.add(aor);
        cursor = page.next;
      }
      expect([...seen].toSorted()).toEqual(aors.toSorted());
    });
  });
}
