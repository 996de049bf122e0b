import type { LocationStore } from '../../ports/location-store.ts';
import type { NodeBus } from '../../ports/node-bus.ts';
export async function openRedis(_options: { url: string; keyPrefix: string }): Promise<{ store: LocationStore; bus: NodeBus }> { throw new Error('not yet'); }
