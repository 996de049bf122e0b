/**
 * Lint rules and the import map: which room may import which (docs/architecture.md), and why not the others.
 * A module and not JSON, because the map is one table here and a thousand lines there. Run it by `npm run check`.
 */

/** What a file must not import, and what it is told then. Relative paths only; `..` is followed by the name of a room. */
const rooms = {
  sip: [/^(\.\.\/)+sip\//, 'this room needs no words of SIP'],
  core: [/^(\.\.\/)+core\//, 'the core decides for the use-cases; decided here as well, it would be decided twice'],
  ports: [/^(\.\.\/)+ports\//, 'a port is for those who call it and those who stand behind it; this room is neither'],
  useCases: [
    /^(\.\.\/)+(register|wake|relay|refresh|upstream|reg-event|behalf)\//,
    'use-cases are called by apps only and do not know each other; they meet in the core and on the node bus',
  ],
  tokens: [/^(\.\.\/)+tokens\//, 'what becomes of a token is for those who push and those who register'],
  call: [/^(\.\.\/)+call\//, 'a bridged call is what waking and placing a call share; nobody else holds one'],
  adapters: [/^(\.\.\/)+adapters\//, 'only apps/edge/wiring.ts knows which adapter stands behind a port'],
  engine: [/^(\.\.\/)+engine\//, 'the engine is reached over the control protocol alone, so that it can be swapped'],
  delivery: [/^(\.\.\/)+delivery\//, 'only adapters of push services send over it'],
  payload: [
    /^(\.\.\/)+payload\//,
    'what a push tells the app is written by adapters of push services, and checked by the config',
  ],
  config: [/^(\.\.\/)+config\//, 'a room is told what it needs; only apps read the config, and adapters its types'],
  telemetry: [/^(\.\.\/)+telemetry\//, 'this room has nothing to count or to log; whoever calls it does'],
  errors: [/^(\.\.\/)+errors\.ts$/, 'this room reports by values; whoever calls it knows whether one is a surprise'],
  doctor: [/^(\.\.\/)+doctor\//, 'judgements for an operator are asked for by apps/cli'],
  apps: [/^(\.\.\/)+apps\//, 'arrows go from apps to lib, never back'],
};

/** Beside its own files a room may import `may` from us and `outside` from others. */
function room(files, may, outside, because, also = []) {
  const forbidden = Object.entries(rooms).filter(([name]) => !may.includes(name));
  const patterns = [...forbidden.map(([, [path, why]]) => ({ regex: path.source, message: why })), ...also];
  const allowed = outside.flatMap((name) => [`!${name}`, `!${name}/**`]);
  // the list of packages comes last: what it lets through is not looked at again
  patterns.push({ group: ['**', '!./**', '!../**', ...allowed], message: because });
  return { files, rules: { 'eslint/no-restricted-imports': ['error', { patterns }] } };
}

/** An adapter has its own driver, and no other adapter. */
function adapter(name, drivers) {
  const may = ['sip', 'core', 'ports', 'delivery', 'payload', 'config', 'telemetry', 'errors'];
  const because = `adapters/${name} may use ${['node', ...drivers].join(' and ')}; each other driver has its own adapter`;
  const stranger = (regex) => [
    { regex, message: 'adapters do not know each other; what two share belongs in a port or the core' },
  ];
  return [
    room([`lib/adapters/${name}/*`], may, ['node:*', ...drivers], because, stranger('^\\.\\./[a-z]')),
    room([`lib/adapters/${name}/*/*`], may, ['node:*', ...drivers], because, stranger('^\\.\\./\\.\\./[a-z]')),
  ];
}

const useCase = ['sip', 'core', 'ports', 'errors', 'telemetry'];
const throughPorts = 'a use-case reaches the world through ports';
const noClock = 'time, chance and waiting reach the core as values, so that a test can move them';
const pure = {
  'eslint/no-restricted-globals': [
    'error',
    ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'performance', 'process', 'fetch'].map(
      (name) => ({
        name,
        message: noClock,
      }),
    ),
  ],
  'eslint/no-restricted-properties': [
    'error',
    { object: 'Date', property: 'now', message: noClock },
    { object: 'Math', property: 'random', message: noClock },
  ],
};

/** SIP peers of the demo that are the virtual phones of the lab too. No lib may hold them: they are made to be unlike our own engine. */
const peers = ['phone', 'calls', 'ua', 'wire', 'media'];

export default {
  plugins: ['eslint', 'typescript', 'import', 'oxc', 'unicorn', 'node', 'promise'],
  categories: { correctness: 'error' },
  env: { node: true, es2023: true },
  ignorePatterns: ['dist', 'coverage', 'data', 'node_modules'],
  rules: {
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/await-thenable': 'error',
    'typescript/return-await': ['error', 'in-try-catch'],
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'typescript/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
    'typescript/no-explicit-any': 'error',
    // objects here are closures and frozen records: their functions do not lose a `this` they never had
    'typescript/unbound-method': 'off',
    'import/no-cycle': 'error',
    'import/no-self-import': 'error',
    'import/no-default-export': 'error',
    'oxc/no-barrel-file': ['error', { threshold: 0 }],
    'node/no-process-env': 'error',
    'eslint/eqeqeq': 'error',
    'eslint/no-var': 'error',
    'eslint/prefer-const': 'error',
    'eslint/no-console': 'error',
    // SIP is full of control characters
    'eslint/no-control-regex': 'off',
    // a copy is often made because the loop changes what it walks over
    'unicorn/no-useless-spread': 'off',
    'unicorn/no-new-array': 'off',
    // drachtio's words have a `then`
    'unicorn/no-thenable': 'off',
    'eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
  },
  overrides: [
    room(['lib/sip/**'], ['sip'], [], 'the words of SIP need nobody else, so every room can use them'),
    room(['lib/core/**'], ['sip', 'core'], ['node:crypto'], 'the core may hash and seal; no I/O and no library'),
    { files: ['lib/core/**'], rules: pure },
    room(['lib/ports/**'], ['sip', 'core', 'ports', 'telemetry'], [], 'a port is types only'),
    room(['lib/call/**', 'lib/tokens/**', 'lib/behalf/**'], useCase, [], throughPorts),
    room(['lib/register/**', 'lib/refresh/**'], [...useCase, 'tokens'], [], throughPorts),
    room(['lib/relay/**', 'lib/upstream/**', 'lib/reg-event/**'], [...useCase, 'call'], [], throughPorts),
    room(['lib/wake/**'], [...useCase, 'call', 'tokens'], [], throughPorts),
    room(
      ['lib/engine/**'],
      ['sip', 'engine', 'errors', 'telemetry'],
      ['node:*', 'ws'],
      'the engine needs node networking and WebSocket frames, and nothing else',
    ),
    room(
      ['lib/config/**'],
      ['config', 'telemetry', 'errors', 'payload'],
      ['node:*', 'yaml', 'zod', '@xmldom/xmldom'],
      'the config is text and rules',
    ),
    room(['lib/doctor/**'], ['sip', 'core', 'doctor'], [], 'the doctor judges what others have seen; apps/cli looks'),
    { files: ['lib/doctor/**'], rules: pure },
    room(
      ['lib/telemetry/**'],
      ['config', 'telemetry', 'errors'],
      ['node:crypto'],
      'the catalogue knows no library; adapters/prometheus and adapters/pino do',
    ),
    {
      files: ['lib/errors.ts'],
      rules: {
        'eslint/no-restricted-imports': [
          'error',
          { patterns: [{ group: ['**'], message: 'the list of errors needs nobody' }] },
        ],
      },
    },
    room(['lib/payload/**'], ['core', 'ports', 'payload'], [], 'payloads are values made of values'),
    { files: ['lib/payload/**'], rules: pure },
    room(
      ['lib/delivery/**'],
      ['core', 'ports', 'delivery'],
      ['node:*'],
      'one way to deliver over HTTP/2, which knows no service',
    ),
    ...adapter('memory', []),
    ...adapter('system', []),
    ...adapter('lmdb', ['lmdb']),
    ...adapter('redis', ['ioredis', 'cluster-key-slot']),
    ...adapter('apns', ['apns2']),
    ...adapter('fcm', ['google-auth-library', 'gaxios', 'undici']),
    ...adapter('webpush', ['undici']),
    ...adapter('webhook', ['undici']),
    ...adapter('pushlog', []),
    ...adapter('srf', ['drachtio-srf']),
    ...adapter('prometheus', ['prom-client']),
    ...adapter('pino', ['pino']),
    ...adapter('http', []),
    ...adapter('push', []),
    ...adapter('policy', []),
    ...adapter('rtpengine', []),
    ...['edge', 'engine', 'cli', 'push-lab'].map((name) => ({
      files: [`apps/${name}/**`],
      rules: {
        'eslint/no-restricted-imports': [
          'error',
          {
            patterns: ['edge', 'engine', 'cli', 'push-lab', 'demo']
              // the phone, the PBX and the ladder of the doctor are those of the demo
              .filter((other) => other !== name && !(name === 'cli' && other === 'demo'))
              .map((other) => ({
                ...(name === 'push-lab' && other === 'demo'
                  ? { group: ['**/demo/*', ...peers.map((file) => `!**/demo/${file}.ts`)] }
                  : { regex: `^(\\.\\./)+${other}/[a-z-]+\\.ts$` }),
                message: 'an app is built from lib alone; what it shares with another app belongs there',
              })),
          },
        ],
      },
    })),
    { files: ['lib/config/load.ts', 'apps/cli/doctor/password.ts'], rules: { 'node/no-process-env': 'off' } },
    { files: ['scripts/**', 'apps/**', 'bench/**', 'fuzz/**', 'test/**'], rules: { 'eslint/no-console': 'off' } },
    {
      files: ['scripts/**', 'test/**', 'bench/**', '*.config.*', 'apps/demo/**'],
      rules: { 'node/no-process-env': 'off' },
    },
    // tests of the control link handle drachtio-srf as an app would
    { files: ['test/**'], rules: { 'typescript/no-explicit-any': 'off' } },
    {
      files: ['*.config.*', 'scripts/closing-lines.mjs', 'docs/examples/**'],
      rules: { 'import/no-default-export': 'off' },
    },
  ],
};
