/** Puts a media relay before the legs of calls, where the config wants one. */
import { openRtpengine } from '../../lib/adapters/rtpengine/media-relay.ts';
import { systemClock } from '../../lib/adapters/system/clock.ts';
import { HelpedLegs } from '../../lib/call/helped-legs.ts';
import type { Config } from '../../lib/config/load.ts';
import type { Legs } from '../../lib/ports/leg.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';

export interface Media {
  readonly legs: Legs;
  close(): void;
}

export function openMedia(
  { media }: Config,
  legs: Legs,
  deps: { readonly log: Log; readonly telemetry: Telemetry },
): Media {
  if (media.when === 'never') return { legs, close: () => undefined };
  const relay = openRtpengine(
    {
      servers: media.rtpengine,
      timeoutMs: media.timeoutMs,
      attempts: media.attempts,
      restMs: media.restSeconds * 1000,
    },
    { ...deps, clock: systemClock },
  );
  return { legs: new HelpedLegs(legs, relay, media.when), close: () => relay.close() };
}
