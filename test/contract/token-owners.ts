/** What every index of token owners does, whatever keeps it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TokenOwners } from '../../lib/ports/token-owners.ts';

export interface OwnersUnderTest {
  readonly owners: TokenOwners;
  /** another node's view of the same index */
  readonly another: TokenOwners;
  close(): Promise<void>;
}

const soon = (): number => Date.now() + 60_000;

/** `missing`: why it cannot run here. */
export function tokenOwnersContract(name: string, open: () => Promise<OwnersUnderTest>, missing?: string): void {
  describe.skipIf(missing !== undefined)(
    `token owners in ${name}${missing === undefined ? '' : ` (skipped: ${missing})`}`,
    () => {
      let under: OwnersUnderTest;
      beforeEach(async () => {
        under = await open();
      });
      afterEach(() => under.close());

      it('tells whose a token was, on every node, and the last one has it', async () => {
        const { owners, another } = under;
        expect(await owners.claim('t1', 'anna@example.org', soon())).toBeUndefined();
        expect(await owners.claim('t1', 'anna@example.org', soon())).toBe('anna@example.org');
        expect(await another.claim('t1', 'bertä {%} @example.org', soon())).toBe('anna@example.org');
        expect(await owners.claim('t1', 'cora@example.org', soon())).toBe('bertä {%} @example.org');
        expect(await owners.claim('t2', 'anna@example.org', soon())).toBeUndefined();
      });

      it('knows nobody any more when the time of the owner is over', async () => {
        const { owners } = under;
        await owners.claim('short', 'anna@example.org', Date.now() - 1000);
        // where a store counts spans, one millisecond is the shortest
        await new Promise((resolve) => setTimeout(resolve, 10));
        expect(await owners.claim('short', 'berta@example.org', soon())).toBeUndefined();
      });

      it('makes a chain of many claims at once: each owner but the last loses it to exactly one other', async () => {
        const { owners, another } = under;
        const aors = Array.from({ length: 40 }, (_, index) => `user${index}@example.org`);
        const lost = await Promise.all(
          aors.map((aor, index) => (index % 2 === 0 ? owners : another).claim('fought over', aor, soon())),
        );
        const last = await owners.claim('fought over', 'the end', soon());
        expect([...lost, last].filter((one) => one === undefined)).toHaveLength(1);
        expect([...lost, last].filter((one) => one !== undefined).sort()).toEqual([...aors].sort());
      });
    },
  );
}
