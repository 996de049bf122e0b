/** `reveille doctor`: looks at the PBX, the push services and the edge itself, and says what to change. */
import { load, type Config } from '../../../lib/config/load.ts';
import { exitCodeOf, type Finding, findingsAsText } from '../../../lib/doctor/finding.ts';
import { judgeRingBudget } from '../../../lib/doctor/judge-local.ts';
import { EdgeError } from '../../../lib/errors.ts';
import { commonOptions, commonUsage, readWords, type Command } from '../command.ts';
import { messageOf, within } from '../doctor/agent.ts';
import { lookAtFiles, lookAtListeners, lookAtPush, lookAtStore, lookForEdge } from '../doctor/local.ts';
import { passwordIn } from '../doctor/password.ts';
import { simulate, type SimulationWishes } from '../doctor/simulate.ts';
import { type Login, lookAtUpstream } from '../doctor/upstream.ts';
import { runningEdge } from '../running-edge.ts';

const usage = `Usage: reveille doctor [--domain NAME] [--user NAME --password-env VARIABLE [--auth-user NAME] [--watch SECONDS]]
       reveille doctor --simulate [--aor USER@DOMAIN [--password-env VARIABLE [--auth-user NAME]]]
                                  [--caller USER --caller-password-env VARIABLE]

Looks at every server of every PBX of the config, the push services, the store, certificates and files, and prints what to change.
Exit code 0: nothing has failed (there may be warnings), 1: something has, 2: the arguments are wrong.
SIP leaves from a free port of the doctor's own; the edge may run or not.

  --domain NAME           this domain of the config only
  --user NAME             tries a REGISTER at the PBX with a Contact that is removed again: an account no phone uses
  --password-env VARIABLE environment variable with its password; an argument could be seen by others on the machine
  --auth-user NAME        user in the digest, when it is another one
  --watch SECONDS         keeps that Contact for so long and counts the OPTIONS of the PBX (qualify)
  --pbx-ring SECONDS      how long the PBX waits for an answer, to compare the ring budget with
  --deadline SECONDS      for the whole run, without --watch; 60 when left out

  --simulate              a call to a virtual sleeping phone through the running edge
  --aor USER@DOMAIN       the phone registers as this user at the PBX, with --password-env; else a PBX is played for it
  --caller USER           a second user of the same domain calls through the PBX, with --caller-password-env; without it the call
                          comes from a PBX that is played, not by the Contact the real one has

${commonUsage}`;

const options = {
  ...commonOptions,
  domain: { type: 'string' },
  user: { type: 'string' },
  'password-env': { type: 'string' },
  'auth-user': { type: 'string' },
  watch: { type: 'string' },
  'pbx-ring': { type: 'string' },
  deadline: { type: 'string' },
  simulate: { type: 'boolean' },
  aor: { type: 'string' },
  caller: { type: 'string' },
  'caller-password-env': { type: 'string' },
} as const;

type Values = Readonly<
  Partial<Record<Exclude<keyof typeof options, 'simulate' | 'json' | 'help'>, string> & { simulate: boolean }>
>;

interface Wishes {
  readonly domain: string | undefined;
  readonly login: Login | undefined;
  readonly watchSeconds: number;
  readonly pbxRing: number | undefined;
  readonly deadlineMs: number;
  readonly simulation: Omit<SimulationWishes, 'deadlineMs'> | undefined;
}

export const doctor: Command = {
  does: 'check PBX, push services and the edge itself, and say what to change; --simulate a call',
  run: async (words) => {
    const asked = readWords(words, options, usage);
    if ('leave' in asked) return asked.leave;
    const { values, positionals } = asked.read;
    const wishes = positionals.length > 0 ? `expected no ${positionals.join(' ')}` : readWishes(values);
    if (typeof wishes === 'string') {
      process.stderr.write(`${wishes}\n\n${usage}`);
      return 2;
    }
    // one part for each domain, because they are looked at together; what is in them is told when the time is over, too
    const own: Finding[] = [];
    const parts: Finding[][] = [own];
    const config = configOf(values.config, (finding) => own.push(finding));
    if (
      config !== undefined &&
      wishes.domain !== undefined &&
      !config.domains.some(({ name }) => name === wishes.domain)
    ) {
      const names = config.domains.map(({ name }) => name).join(', ');
      process.stderr.write(`--domain: expected one of ${names}, found ${wishes.domain}\n`);
      return 2;
    }
    const colour = process.stdout.isTTY === true;
    let ladder = '';
    if (config !== undefined) {
      const { simulation } = wishes;
      const work =
        simulation === undefined
          ? examine(config, values.config, wishes, parts)
          : simulate(
              config,
              runningEdge(values.config),
              { ...simulation, deadlineMs: wishes.deadlineMs },
              own,
              colour,
            ).then((drawn) => {
              ladder = drawn;
            });
      const limit = wishes.deadlineMs + wishes.watchSeconds * 1000;
      await within(work, limit, `the time for the whole run is over (--deadline ${limit / 1000})`).catch(
        (error: unknown) => parts.push([{ check: 'run', about: 'doctor', result: 'fail', found: messageOf(error) }]),
      );
    }
    const findings = parts.flat();
    const code = exitCodeOf(findings);
    const text =
      values.json === true
        ? `${JSON.stringify({ ok: code === 0, findings, ...(ladder === '' ? {} : { ladder: ladder.split('\n') }) })}\n`
        : `${ladder}${findingsAsText(findings, colour)}`;
    await new Promise((resolve) => process.stdout.write(text, resolve));
    // what was given up still has timers, and nobody waits for them
    process.exit(code);
  },
};

function configOf(file: string | undefined, tell: (finding: Finding) => void): Config | undefined {
  const check = 'config';
  try {
    const config = load(file === undefined ? {} : { file });
    const about = config.file ?? 'defaults and environment';
    tell({
      check,
      about,
      result: 'ok',
      found: `${config.domains.length} domain(s), ${config.sip.listen.length} listener(s)`,
    });
    return config;
  } catch (error) {
    if (!(error instanceof EdgeError)) throw error;
    tell({
      check,
      about: file ?? 'config',
      result: 'fail',
      found: error.message,
      fix: 'Every key is in reveille.example.yaml.',
    });
    return undefined;
  }
}

async function examine(
  config: Config,
  file: string | undefined,
  { domain: only, login, watchSeconds, pbxRing, deadlineMs }: Wishes,
  parts: Finding[][],
): Promise<void> {
  const tell = (finding: Finding): void => void parts[0]?.push(finding);
  const patienceMs = Math.min(5000, deadlineMs / 4);
  tell({
    ...{ check: 'source', about: 'doctor', result: 'ok' },
    found: 'SIP leaves from free ports of its own, not from the listeners of the edge, which may run meanwhile',
  });
  const edge = await lookForEdge(() => runningEdge(file), patienceMs, tell);
  lookAtFiles(config, tell);
  await lookAtListeners(config, edge !== undefined, patienceMs, tell);
  await lookAtStore(config, patienceMs, tell);
  const { holdSeconds: hold, ringSeconds: ring } = config.wake;
  tell(judgeRingBudget({ budget: config.calls.ringBudgetSeconds, hold, ring, pbx: pbxRing }));
  await lookAtPush(edge, Math.max(patienceMs, config.push.deadlineMs + 1000), tell);
  const domains = config.domains.filter(({ name }) => only === undefined || name === only);
  await Promise.all(
    domains.map((domain, at) => {
      const part: Finding[] = [];
      parts.push(part);
      // one account is of one domain
      const wishes = { login: at === 0 ? login : undefined, watchSeconds, patienceMs };
      return lookAtUpstream(config, domain, wishes, (finding) => void part.push(finding));
    }),
  );
}

/** What is wrong with the arguments, as text. */
function readWishes(values: Values): Wishes | string {
  const [watchSeconds, pbxRing, deadline] = (['watch', 'pbx-ring', 'deadline'] as const).map((name) => {
    const text = values[name];
    return text === undefined ? undefined : /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  });
  for (const [name, value] of Object.entries({ watch: watchSeconds, 'pbx-ring': pbxRing, deadline }))
    if (Number.isNaN(value)) return `--${name}: expected seconds, found ${values[name as 'watch']}`;
  const { user, aor, caller, simulate: simulated = false } = values;
  const variable = values['password-env'];
  const password = variable === undefined ? undefined : passwordIn(variable);
  if (variable !== undefined && password === undefined) return `--password-env: ${variable} is not set`;
  const callerVariable = values['caller-password-env'];
  const callerPassword = callerVariable === undefined ? undefined : passwordIn(callerVariable);
  if (callerVariable !== undefined && callerPassword === undefined)
    return `--caller-password-env: ${callerVariable} is not set`;
  if ((caller === undefined) !== (callerVariable === undefined))
    return 'expected --caller and --caller-password-env together';
  if (!simulated && (aor !== undefined || caller !== undefined)) return '--aor and --caller are for --simulate';
  if (simulated && user !== undefined) return '--simulate takes --aor, not --user';
  if (!simulated && (user === undefined) !== (password === undefined))
    return 'expected --user and --password-env together';
  if (aor !== undefined && !/^[^\s@]+@[^\s@]+$/.test(aor)) return `--aor: expected user@domain, found ${aor}`;
  if (caller !== undefined && password === undefined) return '--caller needs --aor and --password-env';
  if (simulated && password !== undefined && aor === undefined) return '--password-env needs --aor';
  const authUser = values['auth-user'];
  const login = (name: string, secret: string): Login => ({ user: name, authUser: authUser ?? name, password: secret });
  const aorUser = aor?.slice(0, aor.lastIndexOf('@'));
  return {
    domain: values.domain,
    login: user === undefined || password === undefined ? undefined : login(user, password),
    watchSeconds: watchSeconds ?? 0,
    pbxRing,
    deadlineMs: (deadline ?? 60) * 1000,
    simulation: simulated
      ? {
          domain: values.domain,
          aor,
          login: aorUser === undefined || password === undefined ? undefined : login(aorUser, password),
          caller:
            caller === undefined || callerPassword === undefined
              ? undefined
              : { user: caller, authUser: caller, password: callerPassword },
        }
      : undefined,
  };
}
