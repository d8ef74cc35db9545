// The official TypeScript client 2.x as a host. `auto` asks for the modern era first, in a process
// of the binary that it starts for that alone, and takes the legacy one when that is declined.

import { Client, ProtocolError } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { CLIENT_NAME, connect, sample, server } from '../host.js';

/** Starts hosts whose client has this mode: legacy, auto, or `{pin: VERSION}`. */
export const starter =
  (mode) =>
  (t, { model, tools, args }) => {
    const capabilities = model ? { sampling: tools ? { tools: {} } : {} } : {};
    const client = new Client(
      { name: CLIENT_NAME, version: '1' },
      { capabilities, versionNegotiation: { mode } },
    );
    if (model) {
      client.setRequestHandler('sampling/createMessage', ({ params }, { mcpReq }) =>
        sample(model, params, mcpReq.signal),
      );
    }
    const callTool = (params, options) => client.callTool(params, options);
    return connect(t, client, new StdioClientTransport(server(args)), callTool);
  };

export const refusal = (code, message) => new ProtocolError(code, message);
