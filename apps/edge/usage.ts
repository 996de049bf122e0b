/** What --help says. */
export const usage = `Usage: npm start -- [--config FILE] [--check]

  --config FILE   the configuration (YAML); without it REVEILLE_CONFIG, and without that the defaults
  --check         read the configuration, say what is wrong with it, and end: opens no port, needs no store
  --help          this text

Every key is described in reveille.example.yaml and docs/operations.md.
`;
