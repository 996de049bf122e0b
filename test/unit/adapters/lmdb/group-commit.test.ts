import { describe, expect, it } from 'vitest';
import { GroupCommit } from '../../../../lib/adapters/lmdb/group-commit.ts';

describe('group commit', () => {
  it('writes at once when idle, and together what comes while a write is under way', async () => {
    const groups = new GroupCommit();
    const begun: number[] = [];
    const ends: (() => void)[] = [];
    const write = (n: number) => (): Promise<number> => {
      begun.push(n);
      return new Promise((resolve) => {
        ends.push(() => resolve(n));
      });
    };
    const first = groups.add(write(0));
    expect(begun).toEqual([0]);
    const others = Array.from({ length: 100 }, (_, i) => groups.add(write(i + 1)));
    // the second group started when it was worth it, the rest waits for a group to end
    const second = begun.length;
    expect(second).toBeGreaterThan(1);
    expect(second).toBeLessThan(101);
    for (const end of ends.splice(0)) end();
    await expect.poll(() => begun.length).toBe(101);
    for (const end of ends.splice(0)) end();
    expect(await Promise.all([first, ...others])).toEqual(Array.from({ length: 101 }, (_, i) => i));
  });

  it('goes on after writes that throw or reject', async () => {
    const groups = new GroupCommit();
    const throwing = groups.add(() => {
      throw new Error('thrown');
    });
    await expect(throwing).rejects.toThrow('thrown');
    await expect(groups.add(() => Promise.reject(new Error('rejected')))).rejects.toThrow('rejected');
    await expect(groups.add(async () => 'fine')).resolves.toBe('fine');
  });

  it('rejects what is open, waiting and yet to come once it was told of a failure', async () => {
    const groups = new GroupCommit();
    const never = (): Promise<never> => new Promise(() => undefined);
    const all = Array.from({ length: 200 }, () => groups.add(never));
    groups.fail(new Error('disk gone'));
    for (const settled of await Promise.allSettled(all)) {
      expect(settled).toMatchObject({ status: 'rejected', reason: { message: 'disk gone' } });
    }
    await expect(groups.add(async () => 'late')).rejects.toThrow('disk gone');
  });
});
