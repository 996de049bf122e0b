/** `reveille accounts`: accounts of PBXs that the edge registers with, provisioned while it runs. */
import { readFileSync } from 'node:fs';
import { cellOf, commonOptions, commonUsage, readWords, type Command } from '../command.ts';
import { complaint, runningEdge } from '../running-edge.ts';

const usage = `Usage: reveille accounts put AOR --password-file FILE [options]
       reveille accounts show | remove AOR

put       provisions an account or changes it; the edge registers it at once
remove    de-registers it at the PBX and forgets it

  --password-file FILE        password at the PBX, - for standard input; never an argument, which others on the machine can see
  --phone-password-file FILE  password of its phones at the edge, when it is another one
  --user USER       user at the PBX, when it is not that of the AOR
  --auth-user USER  user in the digest, when it is not the user
  --registrar HOST  domain at the PBX, when it is not that of the AOR
  --realm REALM     answer challenges of this realm only
  --expires N       seconds asked for
${commonUsage}`;

const options = {
  ...commonOptions,
  'password-file': { type: 'string' },
  'phone-password-file': { type: 'string' },
  user: { type: 'string' },
  'auth-user': { type: 'string' },
  registrar: { type: 'string' },
  realm: { type: 'string' },
  expires: { type: 'string' },
} as const;

export const accounts: Command = {
  does: 'accounts the edge registers with at PBXs: put, show, remove',
  run: async (words) => {
    const asked = readWords(words, options, usage);
    if ('leave' in asked) return asked.leave;
    const { values, positionals } = asked.read;
    const [verb = '', aor, ...more] = positionals;
    const method = { put: 'PUT', show: 'GET', remove: 'DELETE' }[verb] as 'PUT' | 'GET' | 'DELETE' | undefined;
    const file = values['password-file'];
    if (method === undefined || aor === undefined || more.length > 0 || (method === 'PUT') !== (file !== undefined)) {
      process.stderr.write(usage);
      return 2;
    }
    const phoneFile = values['phone-password-file'];
    const { user, registrar, realm, expires } = values;
    const body =
      file === undefined
        ? undefined
        : {
            password: passwordIn(file),
            ...(phoneFile === undefined ? {} : { phone_password: passwordIn(phoneFile) }),
            ...(values['auth-user'] === undefined ? {} : { auth_user: values['auth-user'] }),
            ...{ user, registrar, realm, expires: expires === undefined ? undefined : Number(expires) },
          };
    const path = `/accounts/${encodeURIComponent(aor)}`;
    const answer = await runningEdge(values.config).ask({ method, path, ...(body === undefined ? {} : { body }) });
    if (answer.status >= 300) {
      process.stderr.write(`${complaint(answer)}\n`);
      return 1;
    }
    const told = answer.body as Readonly<Record<string, unknown>>;
    if (values.json === true) process.stdout.write(`${JSON.stringify(told)}\n`);
    else
      for (const [name, value] of Object.entries(told)) process.stdout.write(`${name.padEnd(20)} ${cellOf(value)}\n`);
    return 0;
  },
};

/** The first line. */
function passwordIn(file: string): string {
  const text = readFileSync(file === '-' ? 0 : file, 'utf8');
  return text.split(/\r?\n/, 1)[0] ?? '';
}
