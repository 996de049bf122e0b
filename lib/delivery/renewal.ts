/** How connections end whose credentials were replaced: when their streams have, or at once because the key was revoked. */
export type RenewHow = 'drain' | 'at-once';
