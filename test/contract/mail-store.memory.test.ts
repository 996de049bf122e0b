import { memoryMail } from '../../lib/adapters/memory/mail-store.ts';
import { mailStoreContract } from './mail-store.ts';

mailStoreContract('memory', async () => ({ store: memoryMail(), close: async () => undefined }));
