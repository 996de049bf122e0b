/** The command line of `npm run engine`: a file of ours or a drachtio.conf.xml, and the few words of drachtio-server's own. */
import { parseArgs } from 'node:util';
import { contactListeners, expectedContact, readDrachtioConf } from './drachtio-conf.ts';
import { type EngineProcessConfig, loadEngineConfig } from './engine-config.ts';
import { type ConfigMistake, type Environment, invalid, isMapping, nonEmpty, yamlSource } from './tree.ts';

export type EngineArguments =
  | { readonly is: 'run' | 'check'; readonly config: EngineProcessConfig; readonly left: readonly string[] }
  | { readonly is: 'help' }
  | { readonly is: 'wrong'; readonly why: string };

const options = {
  config: { type: 'string' },
  'drachtio-conf': { type: 'string' },
  contact: { type: 'string', multiple: true },
  'external-ip': { type: 'string' },
  address: { type: 'string' },
  port: { type: 'string' },
  secret: { type: 'string' },
  check: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** `words` without the program itself. Throws EDGE_CONFIG_INVALID when what they name is wrong. `left`: not understood in the XML. */
export function readEngineArguments(words: readonly string[], env: Environment): EngineArguments {
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ args: [...words], options }));
  } catch (error) {
    return { is: 'wrong', why: error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error) };
  }
  if (values.help === true) return { is: 'help' };
  const { config: yaml, 'drachtio-conf': xml } = values;
  if (yaml !== undefined && xml !== undefined)
    return { is: 'wrong', why: 'expected --config or --drachtio-conf, found both' };
  if (yaml === '' || xml === '') return { is: 'wrong', why: 'expected a file, found nothing' };

  const left: string[] = [];
  const source =
    xml === undefined ? yamlSource(yaml ?? nonEmpty(env['REVEILLE_ENGINE_CONFIG'])) : readDrachtioConf(xml);
  if ('left' in source) left.push(...(source.left as readonly string[]));
  const { tree } = source;
  const section = (name: string): Record<string, unknown> => {
    const known = (tree[name] ??= {});
    // what is no mapping is told by the check
    return isMapping(known) ? known : {};
  };
  const mistakes: ConfigMistake[] = [];
  const given = { ...env };
  if (values.contact !== undefined) {
    section('sip')['listen'] = values.contact.flatMap((contact) => {
      const listeners = contactListeners(contact);
      if (listeners === undefined)
        mistakes.push({ key: '--contact', expected: expectedContact, found: JSON.stringify(contact) });
      return listeners ?? [];
    });
    delete given['REVEILLE_SIP_LISTEN'];
  }
  if (values['external-ip'] !== undefined) {
    section('sip')['external_address'] = values['external-ip'];
    delete given['REVEILLE_SIP_EXTERNAL_ADDRESS'];
  }
  if (values.secret !== undefined) {
    section('control')['secret'] = values.secret;
    delete given['DRACHTIO_SECRET'];
  }
  if (values.address !== undefined || values.port !== undefined) {
    const { address = '127.0.0.1', port = '9022' } = values;
    section('control')['listen'] = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    delete given['REVEILLE_CONTROL_LISTEN'];
  }
  if (mistakes.length > 0) throw invalid('the command line', mistakes);
  return { is: values.check === true ? 'check' : 'run', config: loadEngineConfig(source, given), left };
}
