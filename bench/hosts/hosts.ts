/**
 * Several hosts on one machine: a network namespace each, joined by a bridge that stands in a namespace of its own, so that no
 * firewall rule of the machine reaches what they say to one another. The calling process stays where it is and has an address in
 * the same network. Needs root and iproute2; ask whyNoHosts() first.
 *
 * A cut is silent, as in a real network: nobody is told that a link is down or a host is unknown (neighbours are fixed entries),
 * packets are lost and nothing else. What a killed run has left behind is removed by the next one.
 */
import { execFile, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { networkInterfaces } from 'node:os';

export interface Host {
  readonly name: string;
  readonly address: string;
  /** words before a command that make it run there; the process has the id that spawn tells */
  readonly within: readonly string[];
}

export interface Hosts {
  /** the calling process, under the name `outside` */
  readonly outside: Pick<Host, 'name' | 'address'>;
  host(name: string): Host;
  /** One of 126 addresses of the calling process, in turn: a phone has one of its own. They are cut off together with `outside`. */
  anAddress(): string;
  /** Nobody reaches this host, and it reaches nobody. */
  cut(name: string): Promise<void>;
  heal(name: string): Promise<void>;
  /** What one of the two sends is lost on its way to the other. */
  cutBetween(one: string, other: string): Promise<void>;
  healBetween(one: string, other: string): Promise<void>;
  /** Kills what still runs in the hosts and removes them. */
  close(): Promise<void>;
}

const mark = 'rvlh';
const outsideName = 'outside';
/** nobody has this one */
const nowhere = '02:00:00:00:00:00';

/** asked once; undefined: not yet */
let answer: { readonly why: string | undefined } | undefined;

/** Why there can be no hosts here, undefined when there can. Tries it once. */
export function whyNoHosts(): string | undefined {
  answer ??= { why: tryOne() };
  return answer.why;
}

function tryOne(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are a thing of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const name = `${mark}-${process.pid}-try`;
  const steps = [
    ['netns', 'add', name],
    ['-n', name, 'link', 'add', 'bridge0', 'type', 'bridge'],
    ['-n', name, 'link', 'add', 'cable0', 'type', 'veth', 'peer', 'name', 'cable1'],
    ['netns', 'exec', name, process.execPath, '--version'],
  ];
  try {
    for (const step of steps) {
      const { error, status, stderr } = spawnSync('ip', step, { encoding: 'utf8' });
      if (error !== undefined) return 'iproute2 (ip) is not installed';
      if (status !== 0) return `network namespaces cannot be made: ${stderr.trim().split('\n')[0] ?? ''}`;
    }
    return undefined;
  } finally {
    spawnSync('ip', ['netns', 'del', name]);
  }
}

interface Seat extends Host {
  readonly namespace: string;
  readonly mac: string;
  /** its end of the cable in the bridge */
  readonly port: string;
  /** its own end */
  readonly device: string;
}

let opened = 0;

/** One host for each name; names are a word of letters and digits. */
export async function openHosts(names: readonly string[]): Promise<Hosts> {
  await sweep();
  opened += 1;
  const run = `${mark}-${process.pid}-${opened}`;
  const subnet = aSubnet();
  const bridge = `${run}-bridge`;
  const device = `${mark}${process.pid}n${opened}`;
  const seats = names.map((name, index): Seat => {
    const namespace = `${run}-${name}`;
    const number = index + 2;
    return {
      name,
      namespace,
      address: `${subnet}.${number}`,
      within: ['ip', 'netns', 'exec', namespace],
      mac: macOf(number),
      port: `p${number}`,
      device: 'eth0',
    };
  });
  const self: Seat = {
    ...{ name: outsideName, address: `${subnet}.1`, mac: macOf(1), port: 'p1', device, namespace: '', within: [] },
  };
  const all = [self, ...seats];
  const find = (name: string): Seat => {
    const found = all.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no host is called ${name}`);
    return found;
  };
  const close = async (): Promise<void> => {
    // the cable of the caller ends in the bridge's namespace, and goes with it
    await remove([bridge, ...seats.map(({ namespace }) => namespace)]);
  };

  try {
    await ip([bridge, ...seats.map(({ namespace }) => namespace)].map((name) => `netns add ${name}`));
    await ip(
      all.map(({ port, mac, device: end, namespace }) => {
        const there = namespace === '' ? '' : ` netns ${namespace}`;
        return `link add ${port} netns ${bridge} type veth peer name ${end} address ${mac}${there}`;
      }),
    );
    await ip(
      [
        'link add bridge0 type bridge',
        'link set bridge0 up',
        ...all.map(({ port }) => `link set ${port} master bridge0 up`),
      ],
      bridge,
    );
    for (const seat of all) await ip(settle(seat, self, all), seat.namespace);
  } catch (error) {
    await close();
    throw error;
  }

  /** What `from` sends to `to` finds its way, or does not. */
  const aim = (from: Seat, to: Seat, mac: string): Promise<void> =>
    ip([`neigh replace ${to.address} lladdr ${mac} dev ${from.device} nud permanent`], from.namespace);
  let taken = 0;
  return {
    outside: { name: outsideName, address: self.address },
    host: (name) => find(name),
    anAddress: () => {
      taken = (taken % 126) + 1;
      return `${subnet}.${128 + taken}`;
    },
    cut: (name) => ip([`link set ${find(name).port} nomaster`], bridge),
    heal: (name) => ip([`link set ${find(name).port} master bridge0`], bridge),
    cutBetween: async (one, other) => {
      await Promise.all([aim(find(one), find(other), nowhere), aim(find(other), find(one), nowhere)]);
    },
    healBetween: async (one, other) => {
      const [a, b] = [find(one), find(other)];
      await Promise.all([aim(a, b, b.mac), aim(b, a, a.mac)]);
    },
    close,
  };
}

/** Its address, and fixed entries for the others, so that nobody learns from an unanswered question that a host is cut off. */
function settle(seat: Seat, self: Seat, all: readonly Seat[]): readonly string[] {
  const { address, device } = seat;
  const lines = [`address add ${address}/24 dev ${device}`, `link set ${device} up`];
  for (const other of all) {
    if (other !== seat) lines.push(`neigh replace ${other.address} lladdr ${other.mac} dev ${device} nud permanent`);
  }
  // the upper half of the network is the caller
  const upper = `${address.replace(/\d+$/, '128')}/25`;
  if (seat === self) return [...lines, `route add local ${upper} dev ${device}`];
  return ['link set lo up', ...lines, `route add ${upper} via ${self.address} dev ${device}`];
}

function macOf(number: number): string {
  return `02:00:00:00:01:${number.toString(16).padStart(2, '0')}`;
}

/** A part of 198.18.0.0/15, which is kept for benchmarks (RFC 2544), that no interface of this machine has. */
function aSubnet(): string {
  const used = new Set(
    Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .map(({ address }) => address.split('.').slice(0, 3).join('.')),
  );
  for (;;) {
    const subnet = `198.${18 + randomInt(2)}.${randomInt(256)}`;
    if (!used.has(subnet)) return subnet;
  }
}

/** Removes what runs have left that are no more. */
async function sweep(): Promise<void> {
  const left = (await namespaces()).filter((name) => {
    const pid = Number(new RegExp(`^${mark}-(\\d+)-`).exec(name)?.[1]);
    return pid > 0 && !alive(pid);
  });
  await remove(left);
}

async function namespaces(): Promise<readonly string[]> {
  const text = await output(['netns', 'list']);
  return text.split('\n').flatMap((line) => line.split(' ').slice(0, 1));
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function remove(list: readonly string[]): Promise<void> {
  const known = new Set(await namespaces());
  for (const name of list.filter((one) => known.has(one))) {
    for (const pid of (await output(['netns', 'pids', name])).split('\n').map(Number)) {
      try {
        if (pid > 0) process.kill(pid, 'SIGKILL');
      } catch {
        // ended by itself
      }
    }
    await ip([`netns del ${name}`]);
  }
}

/** Runs lines of iproute2, in a namespace when one is named; rejects with what it said. */
async function ip(lines: readonly string[], namespace = ''): Promise<void> {
  const words = [...(namespace === '' ? [] : ['-n', namespace]), '-batch', '-'];
  await output(words, `${lines.join('\n')}\n`);
}

function output(words: readonly string[], input = ''): Promise<string> {
  return new Promise((done, fail) => {
    const child = execFile('ip', words, (error, stdout, stderr) => {
      if (error === null) done(stdout);
      else fail(new Error(`ip ${words.join(' ')}: ${stderr.trim()}`, { cause: error }));
    });
    child.stdin?.on('error', () => undefined); // it ended before it read: the callback tells
    child.stdin?.end(input);
  });
}
