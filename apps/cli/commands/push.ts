/** `reveille push test|send|reload`: checks the credentials of the push services, and pushes one phone. Tokens come from files and are never shown. */
import { readFileSync } from 'node:fs';
import { commonOptions, commonUsage, readWords, type Command } from '../command.ts';
import { complaint, runningEdge } from '../running-edge.ts';

const usage = `Usage: reveille push test [--app NAME]
       reveille push send --aor USER@DOMAIN [--binding ID] [--class CLASS] [--ring]
       reveille push send --app NAME --token-file FILE --kind KIND [--class CLASS] [--sandbox] [--ring]
       reveille push reload

test    asks each push service whether its credentials are good; no phone is woken: APNs by a token that no phone has, FCM by
        validate_only, Web Push by looking at our own signature, a webhook by a signed ping. Exit code 0: all are good.
send    pushes the phones of a user, or the one whose token is in a file. Exit code 0: the service took it over.
reload  reads the push section of the config and its files again, as SIGHUP does.

  --app NAME         an app, webhook, webpush or unifiedpush of the config
  --aor, --binding   whom to push: all phones of a user, or one of them
  --token-file FILE  the token (pn-prid) of a phone; - reads it from standard input. Never give one as an argument: others can see it.
  --kind KIND        voip, alert, fcm, webpush or webhook
  --class CLASS      call, message, notify, refresh (the default: shows nothing) or cancel
  --sandbox          APNs: the token is of a development build
  --ring             needed for a call to a VoIP token: the phone will ring

${commonUsage}`;

const options = {
  ...commonOptions,
  app: { type: 'string' },
  aor: { type: 'string' },
  binding: { type: 'string' },
  'token-file': { type: 'string' },
  kind: { type: 'string' },
  class: { type: 'string' },
  sandbox: { type: 'boolean' },
  ring: { type: 'boolean' },
} as const;

export const push: Command = {
  does: 'check the credentials of the push services, or push one phone',
  run: async (words) => {
    const asked = readWords(words, options, usage);
    if ('leave' in asked) return asked.leave;
    const { values, positionals } = asked.read;
    const [what, ...rest] = positionals;
    if (rest.length > 0 || (what !== 'test' && what !== 'send' && what !== 'reload')) {
      process.stderr.write(`expected test, send or reload, found ${positionals.join(' ') || 'nothing'}\n\n${usage}`);
      return 2;
    }
    const body = what === 'send' ? readSend(values) : values.app === undefined ? {} : { app: values.app };
    if (typeof body === 'string') {
      process.stderr.write(`${body}\n\n${usage}`);
      return 2;
    }
    const answer = await runningEdge(values.config).ask({ method: 'POST', path: `/push/${what}`, body });
    if (answer.status !== 200) {
      process.stderr.write(`${complaint(answer)}\n`);
      return 1;
    }
    const told = answer.body as Told;
    process.stdout.write(values.json === true ? `${JSON.stringify(told)}\n` : linesOf(told));
    return told.good === false || told.accepted === false ? 1 : 0;
  },
};

interface Told {
  readonly good?: boolean;
  readonly accepted?: boolean;
  readonly apps?: string | readonly { readonly app: string; readonly about: string; readonly result: Result }[];
  readonly pushes?: readonly (Readonly<Record<'app' | 'class' | 'token' | 'outcome', string>> & {
    readonly binding?: string;
    readonly reason?: string;
    readonly ms: number;
  })[];
}

type Result = { readonly is: string; readonly how?: string; readonly reason?: string; readonly fix?: string };

type Values = Readonly<Record<'app' | 'aor' | 'binding' | 'kind' | 'class' | 'token-file', string | undefined>> & {
  readonly sandbox: boolean | undefined;
  readonly ring: boolean | undefined;
};

/** The body of the request, or what is wrong. */
function readSend(values: Partial<Values>): object | string {
  const file = values['token-file'];
  if ((file === undefined) === (values.aor === undefined)) return 'expected either --aor or --token-file';
  const common = { class: values.class ?? 'refresh', ...(values.ring === true ? { ring: true } : {}) };
  if (file === undefined)
    return { ...common, aor: values.aor, ...(values.binding === undefined ? {} : { binding: values.binding }) };
  if (values.app === undefined || values.kind === undefined) return 'expected --app and --kind with --token-file';
  let token: string;
  try {
    token = readFileSync(file === '-' ? 0 : file, 'utf8').trim();
  } catch (error) {
    return `--token-file: cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`;
  }
  if (token === '' || /\s/.test(token)) return '--token-file: expected one token and nothing else';
  const environment = values.sandbox === true ? { environment: 'sandbox' } : {};
  return { ...common, app: values.app, kind: values.kind, token, ...environment };
}

function linesOf({ apps, pushes }: Told): string {
  if (typeof apps === 'string') return `in use: ${apps}\n`;
  const checks = (apps ?? []).map(({ app, about, result }) => {
    const said = result.is === 'good' ? `accepted ${result.how ?? ''}` : `${result.reason ?? ''} ${result.fix ?? ''}`;
    return `${result.is.padEnd(8)} ${app.padEnd(20)} ${about.padEnd(36)} ${said.trim()}\n`;
  });
  const sent = (pushes ?? []).map(
    (one) =>
      `${one.outcome.padEnd(14)} ${one.app.padEnd(20)} ${one.class.padEnd(8)} ${one.token} ${one.ms} ms ${one.reason ?? ''}`.trimEnd() +
      '\n',
  );
  return [...checks, ...sent].join('') || 'no push services are configured\n';
}
