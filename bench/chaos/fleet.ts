/** All phones of a run: who is awake, who may be called, who is woken by a push. */
import { randomFrom } from '../figures.ts';
import { pause } from '../load/pace.ts';
import { SleepyPhone, type SleepyPlan } from './sleepy-phone.ts';

export interface FleetPlan extends Omit<SleepyPlan, 'team' | 'host'> {
  readonly phones: number;
  /** addresses of phones, each in turn */
  readonly hosts: readonly string[];
  /** of all phones, those on TCP */
  readonly tcpShare: number;
  /** team of each push service; phones are spread over them */
  readonly teams: readonly string[];
  readonly seed: number;
}

const registersAtOnce = 64;

export class Fleet {
  readonly #phones: SleepyPhone[] = [];
  readonly #awake = new Set<SleepyPhone>();
  readonly #random: () => number;
  readonly #plan: FleetPlan;
  readonly #ticker: NodeJS.Timeout;

  constructor(plan: FleetPlan) {
    this.#plan = plan;
    this.#random = randomFrom(plan.seed);
    const tcp = Math.round(plan.phones * plan.tcpShare);
    for (let n = 0; n < plan.phones; n++) {
      const transport = (n * tcp) % plan.phones < tcp ? 'tcp' : 'udp';
      const team = plan.teams[this.pushOf(n)] ?? '';
      this.#phones.push(
        new SleepyPhone(n, transport, n % plan.nodes.length, {
          ...plan,
          team,
          host: plan.hosts[n % plan.hosts.length] ?? '',
        }),
      );
    }
    this.#ticker = setInterval(() => this.#tick(), 50);
  }

  /** Which push service a phone uses. */
  pushOf(phone: number): number {
    return Math.floor(phone / this.#plan.nodes.length) % this.#plan.teams.length;
  }

  /** Every phone registers once with its node and sleeps. */
  async registerAll(): Promise<void> {
    for (const phone of this.#phones) {
      while (this.#awake.size >= registersAtOnce) await pause(10);
      phone.wake();
      this.#awake.add(phone);
    }
    const giveUpAt = this.#plan.now() + 30_000;
    while (this.#awake.size > 0 && this.#plan.now() < giveUpAt) await pause(50);
    const left = this.#phones.filter(({ registered }) => !registered).length;
    if (left > 0) throw new Error(`${left} of ${this.#plan.phones} phones could not register`);
  }

  /** A phone that sleeps and was not called for a while; undefined: all are busy. */
  sleeper(isFree: (phone: number) => boolean): SleepyPhone | undefined {
    for (let tries = 0; tries < 200; tries++) {
      const phone = this.#phones[Math.floor(this.#random() * this.#phones.length)];
      if (phone?.asleep === true && isFree(phone.identity.index)) return phone;
    }
    return undefined;
  }

  pushed(phone: number): void {
    const woken = this.#phones[phone];
    if (woken === undefined) return;
    woken.wake();
    this.#awake.add(woken);
  }

  get awake(): number {
    return this.#awake.size;
  }

  close(): void {
    clearInterval(this.#ticker);
  }

  #tick(): void {
    const now = this.#plan.now();
    for (const phone of this.#awake) {
      phone.tick(now);
      if (phone.asleep) this.#awake.delete(phone);
    }
  }
}
