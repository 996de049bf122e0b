/**
 * The bus of several nodes in one process, and what a network makes of it: news of another node comes late, twice, behind what was
 * said after it, or not at all. As the port promises: whoever may have missed something is told of a gap.
 */
import { memoryBus } from '../../lib/adapters/memory/node-bus.ts';
import type { Aor } from '../../lib/core/binding.ts';
import type { BindingChange, BindingNews, NodeBus } from '../../lib/ports/node-bus.ts';
import type { Gates } from './gates.ts';

/** late: not in the order of what was said. lost: its receiver is told of a gap instead. */
export type Fate = 'once' | 'twice' | 'late' | 'lost';

interface Member {
  readonly own: NodeBus;
  /** its connection is away: it says nothing to others and hears nothing of them */
  cut: boolean;
  /** how often it was cut: what was on its way then is lost */
  cuts: number;
  /** what others have not been told; said when the connection is back */
  unsaid: BindingChange[];
  /** by AOR: how many wait for news of it */
  readonly waits: Map<Aor, number>;
  /** news of one node stays in order */
  readonly links: Map<Member, Promise<void>>;
}

export class RacingBus {
  readonly #members: Member[] = [];
  readonly #gates: Gates;
  readonly #fates: readonly Fate[];
  /** the adapter tells whoever waits to look again after a connection was away; only a test of the tests leaves that out */
  readonly #tellsOfGaps: boolean;
  #sent = 0;
  /** subscriptions that have not been ended */
  subscriptions = 0;

  /** `fates`: what becomes of what is sent from node to node, in turn. */
  constructor(gates: Gates, fates: readonly Fate[], tellsOfGaps = true) {
    this.#gates = gates;
    this.#fates = fates;
    this.#tellsOfGaps = tellsOfGaps;
  }

  /** Every node hears every other. */
  get whole(): boolean {
    return this.#members.every(({ cut }) => !cut);
  }

  /** Something has not been heard when it was said. */
  get hasLost(): boolean {
    return this.#sent > 0 && (this.#fates.includes('lost') || this.#members.some(({ cuts }) => cuts > 0));
  }

  /** The end of one node. */
  join(): NodeBus {
    const own = memoryBus();
    const member: Member = { own, cut: false, cuts: 0, unsaid: [], waits: new Map(), links: new Map() };
    this.#members.push(member);
    return {
      publish: async (change) => {
        await own.publish(change);
        if (member.cut) member.unsaid.push(change);
        else this.#say(member, change);
      },
      subscribe: async (aor, listener) => {
        await this.#gates.pass();
        this.subscriptions++;
        member.waits.set(aor, (member.waits.get(aor) ?? 0) + 1);
        const end = await own.subscribe(aor, listener);
        let ended = false;
        await this.#gates.pass();
        return () => {
          if (!ended) {
            this.subscriptions--;
            const left = (member.waits.get(aor) ?? 1) - 1;
            if (left > 0) member.waits.set(aor, left);
            else member.waits.delete(aor);
          }
          ended = true;
          end();
        };
      },
      lookAgain: () => this.#tellOfGaps(member),
      close: () => own.close(),
    };
  }

  /** The connection of one node goes. */
  cut(node: number): void {
    const member = this.#members[node % this.#members.length];
    if (member === undefined || member.cut) return;
    member.cut = true;
    member.cuts++;
  }

  /** It comes back, some time later. */
  async heal(node: number): Promise<void> {
    const member = this.#members[node % this.#members.length];
    if (member === undefined || !member.cut) return;
    const { cuts } = member;
    await this.#gates.pass();
    if (!member.cut || member.cuts !== cuts) return;
    member.cut = false;
    for (const change of member.unsaid.splice(0)) this.#say(member, change);
    await this.#gates.pass();
    if (member.cuts === cuts) this.#tellOfGaps(member);
  }

  healAll(): void {
    for (const node of this.#members.keys()) void this.heal(node);
  }

  #tellOfGaps({ own, waits }: Member): void {
    if (!this.#tellsOfGaps) return;
    // the adapter in memory has no gaps of its own, and hands on whatever it is given
    for (const aor of [...waits.keys()]) void own.publish(gapOf(aor));
  }

  #say(from: Member, change: BindingChange): void {
    for (const to of this.#members) {
      if (to === from) continue;
      const fate = this.#fates[this.#sent++ % Math.max(1, this.#fates.length)] ?? 'once';
      const { cuts } = to;
      const carry = (): Promise<void> => this.#carry(change, to, cuts, fate);
      if (fate === 'late') void carry().then(() => undefined);
      else from.links.set(to, (from.links.get(to) ?? Promise.resolve()).then(carry));
    }
  }

  async #carry(change: BindingChange, to: Member, cuts: number, fate: Fate): Promise<void> {
    await this.#gates.pass();
    if (fate === 'late') await this.#gates.pass();
    const arrives = (): boolean => !to.cut && to.cuts === cuts;
    if (arrives()) await to.own.publish(fate === 'lost' ? gapOf(change.aor) : change);
    if (fate !== 'twice') return;
    await this.#gates.pass();
    if (arrives()) await to.own.publish(change);
  }
}

function gapOf(aor: Aor): BindingChange {
  const gap: BindingNews = { is: 'gap', aor };
  return gap as unknown as BindingChange;
}
