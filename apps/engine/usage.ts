/** What --help prints. */
export const usage = `Usage: npm run engine -- [--config FILE | --drachtio-conf FILE] [options]

Runs the SIP engine alone, for edges (and other drachtio-srf apps) that connect to it as to a drachtio-server.

  --config FILE         YAML, see engine.example.yaml; else REVEILLE_ENGINE_CONFIG, else defaults and environment
  --drachtio-conf FILE  the config of a drachtio-server; what has no counterpart is named in the log
  --contact URI         where SIP comes in, such as "sip:*:5060;transport=udp,tcp"; may be given several times
  --external-ip NAME    address by which phones and PBX reach the engine
  --address ADDRESS     where edges connect (127.0.0.1)
  --port PORT           where edges connect (9022)
  --secret SECRET       what edges must show; better in DRACHTIO_SECRET, which others cannot see
  --check               says what is wrong with the configuration, and ends
  --help
`;
