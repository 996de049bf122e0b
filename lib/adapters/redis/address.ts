/** Where the config says that Redis is. */
import type { StoreConfig } from '../../config/load.ts';
import type { RedisAddress } from './connection.ts';

export function redisAddress(store: Extract<StoreConfig, { readonly kind: 'redis' }>): RedisAddress {
  const { url, keyPrefix, sentinels, primaryName, sentinelPassword, cluster, serverName, files } = store;
  const { ca, cert, key } = files;
  return {
    url: url.reveal(),
    keyPrefix,
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key: key.reveal() }),
      ...(serverName === undefined ? {} : { serverName }),
    },
    ...(cluster.length === 0 ? {} : { cluster }),
    ...(sentinels.length === 0
      ? {}
      : {
          sentinel: {
            nodes: sentinels,
            primary: primaryName,
            ...(sentinelPassword === undefined ? {} : { password: sentinelPassword.reveal() }),
          },
        }),
  };
}
