/** An operator's policy in its thread: what it may do wrong, and that nobody waits for it. The built worker runs, so build first. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPushPolicy, type PolicyRuleBook } from '../../lib/adapters/policy/push-policy.ts';
import { defaultRules } from '../../lib/core/push-ladder.ts';
import type { PushFacts } from '../../lib/core/push-policy.ts';

let folder: string;
let book: PolicyRuleBook | undefined;
const troubles: string[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reveille-policies-'));
  troubles.length = 0;
});
afterEach(async () => {
  await book?.close();
  book = undefined;
  rmSync(folder, { recursive: true });
});

async function open(text: string, name = 'policy.mjs', timeoutMs = 5000): Promise<PolicyRuleBook> {
  const file = join(folder, name);
  writeFileSync(file, text);
  book = await openPushPolicy({
    ...{ file, timeoutMs, configured: (_app: string, provider: string) => defaultRules(provider) },
    decided: () => void troubles.push('decided'),
    trouble: (what: string) => void troubles.push(what),
  });
  return book;
}

const facts = (app = 'phone'): PushFacts => ({
  ...{
    now: 1,
    class: 'call',
    method: 'INVITE',
    callId: 'c',
    aor: 'a@b',
    domain: 'b',
    from: { uri: 'sip:x@y', display: undefined },
  },
  ...{
    hasVideo: false,
    app,
    provider: 'fcm',
    tokens: ['fcm'],
    unansweredVoip: 0,
    wastedHighPriority: 0,
    phones: 1,
    holdMs: 1,
  },
  phone: { bindingId: 'i', instanceId: undefined, userAgent: undefined, registeredAt: 0, expiresAt: 9, hasFlow: false },
  rules: defaultRules('fcm'),
});

describe('a push policy', () => {
  it('changes what it decides, and leaves the rest as the config has it', async () => {
    const policy = await open('export default ({ app }) => (app === "x" ? { repeats: 3, push: false } : undefined);');
    expect(await policy.decide(facts('x'))).toEqual({ ...defaultRules('fcm'), repeats: 3, push: false });
    expect(await policy.decide(facts())).toEqual(defaultRules('fcm'));
    expect(troubles).toEqual(['decided', 'decided']);
  });

  it('may be TypeScript', async () => {
    const policy = await open(
      "import type { PushPolicy } from 'reveille';\nconst policy: PushPolicy = async (facts) => ({ idleMs: facts.phones * 100 });\nexport default policy;\n",
      'policy.ts',
    );
    expect(await policy.decide(facts())).toMatchObject({ idleMs: 100 });
  });

  it('that throws, decides nonsense or changes its facts: the config holds, and it is counted', async () => {
    const policy = await open(
      `export default (facts) => {
         if (facts.app === 'throws') throw new Error('no');
         if (facts.app === 'changes') facts.rules.repeats = 3;
         return facts.app === 'wide' ? { repeats: 99 } : { nonsense: true };
       };`,
    );
    for (const app of ['throws', 'changes', 'wide', 'odd'])
      expect(await policy.decide(facts(app))).toEqual(defaultRules('fcm'));
    expect(troubles).toEqual(['failed', 'failed', 'invalid', 'invalid']);
  });

  it('that never ends is not waited for, its thread is ended, and a new one decides again', async () => {
    const policy = await open(
      'export default ({ app }) => { while (app === "loop"); return app === "exit" ? process.exit(1) : { repeats: 2 }; };',
      'policy.mjs',
      200,
    );
    const before = Date.now();
    expect(await policy.decide(facts('loop'))).toEqual(defaultRules('fcm'));
    expect(Date.now() - before).toBeLessThan(1500);
    expect(troubles).toEqual(['timeout']);
    await expect.poll(async () => (await policy.decide(facts())).repeats, { timeout: 15_000, interval: 100 }).toBe(2);
    await policy.decide(facts('exit'));
    await expect.poll(async () => (await policy.decide(facts())).repeats, { timeout: 15_000, interval: 100 }).toBe(2);
  });

  it('that cannot be used stops the start with its reason', async () => {
    await expect(open('export const policy = 1;')).rejects.toThrow(/push\.policy_file .*no function/);
    await expect(open('export default (')).rejects.toThrow(/push\.policy_file/);
  });
});
