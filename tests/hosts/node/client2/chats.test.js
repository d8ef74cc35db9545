// The legacy era, taken at once or when the modern one was declined.

import { chats } from '../chats.js';
import { legacy } from '../legacy.js';
import { refusal, starter } from './host.js';

for (const mode of ['legacy', 'auto']) {
  chats(mode, starter(mode), 'sampling');
  legacy(mode, starter(mode), refusal);
}
