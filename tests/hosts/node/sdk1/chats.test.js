// The official TypeScript SDK 1.x as the host. It knows the legacy era only.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { CreateMessageRequestSchema, McpError } from '@modelcontextprotocol/sdk/types.js';
import { chats } from '../chats.js';
import { legacy } from '../legacy.js';
import { CLIENT_NAME, connect, sample, server } from '../host.js';

function start(t, { model, tools }) {
  const capabilities = model ? { sampling: tools ? { tools: {} } : {} } : {};
  const client = new Client({ name: CLIENT_NAME, version: '1' }, { capabilities });
  if (model) {
    client.setRequestHandler(CreateMessageRequestSchema, ({ params }, { signal }) =>
      sample(model, params, signal),
    );
  }
  // Between the two is the schema of the result, which is known.
  const callTool = (params, options) => client.callTool(params, undefined, options);
  return connect(t, client, new StdioClientTransport(server()), callTool);
}

chats('legacy', start, 'sampling');
legacy('legacy', start, (code, message) => new McpError(code, message));
