// A client of every family, typed by what openapi-typescript made of the document. Run by test_typescript_client.py:
// node client.js URL KEY; prints one line of JSON, or fails.
import createClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

type Run = components["schemas"]["RunView"];

const [, , baseUrl = "", key = ""] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { "X-API-Key": key } });

function must<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.response.status} ${answer.response.url}: ${JSON.stringify(answer.error)}`);
  }
  return answer.data;
}

async function until<T>(look: () => Promise<T>, ended: (seen: T) => boolean): Promise<T> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const seen = await look();
    if (ended(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`it did not end: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function eventTypes(response: Response): Promise<string[]> {
  const text = await response.text();
  return [...text.matchAll(/^event: (.*)$/gm)].map((found) => found[1] ?? "");
}

// health, chat, runs
const health = must(await client.GET("/health"));
const answer = must(
  await client.POST("/v1/chat", {
    body: { conversation_id: "ts", messages: [{ role: "user", content: "What is Quartet?" }], context: {} },
    params: { header: { "idempotency-key": "ts-1" } },
  }),
);
const page = must(await client.GET("/v1/runs", { params: { query: { status: "completed", limit: 10 } } }));
const runs: Run[] = page.items;
const run = must(await client.GET("/v1/runs/{run_id}", { params: { path: { run_id: answer.run_id } } }));
const log = await client.GET("/v1/runs/{run_id}/events", {
  params: { path: { run_id: answer.run_id } },
  parseAs: "stream",
});
const events = await eventTypes(log.response.bodyUsed ? log.response : new Response(log.data as BodyInit));

// errors are problems: `detail` is text
const missing = await client.GET("/v1/runs/{run_id}", { params: { path: { run_id: "nothing" } } });
const detail: string = missing.error?.detail ?? "";

// approvals
must(
  await client.POST("/v1/chat", {
    body: { messages: [{ role: "user", content: "What is an approval?" }], context: { approvals: "ask" } },
  }),
);
const waiting = must(await client.GET("/v1/approvals"));
const asked = waiting.items[0];
if (asked === undefined) throw new Error("nothing was asked");
const decided = must(
  await client.POST("/v1/approvals/{approval_id}", {
    params: { path: { approval_id: asked.id } },
    body: { decision: "approve", digest: asked.digest },
  }),
);

// execute
const executed = must(
  await client.POST("/api/execute", { body: { goal: { title: "Explain Quartet" }, strategy: "simple" } }),
);

// graphs
const graph = must(
  await client.POST("/run-graph", {
    body: {
      workflow_type: "graph",
      tasks: [
        { agent_id: "facts", agent_role: "researcher", input_data: { task: "What is Quartet?" } },
        { agent_id: "text", agent_role: "builder", input_data: { task: "Write" }, depends_on: ["facts"] },
      ],
      metadata: { from: "typescript" },
    },
  }),
);
const workflow = { path: { workflow_id: graph.workflow_id } };
const worked = await until(
  async () => must(await client.GET("/status/{workflow_id}", { params: workflow })),
  (seen) => seen.completed_at !== null,
);
const graphs = must(await client.GET("/workflows", { params: { query: { limit: 10 } } }));
const deleted = must(await client.DELETE("/workflows/{workflow_id}", { params: workflow }));

// sessions
const { session_id } = must(await client.POST("/api/start-task", { body: { task: "Write about Quartet" } }));
const session = { path: { session_id } };
const finished = await until(
  async () => must(await client.GET("/api/sessions/{session_id}", { params: session })),
  (seen) => seen.status === "COMPLETED" || seen.status === "ERROR",
);
const lines = must(await client.GET("/api/sessions/{session_id}/logs", { params: session }));
const sessions = must(await client.GET("/api/sessions"));

console.log(
  JSON.stringify({
    health: health.status,
    chat: answer.status,
    listed: runs.map((one) => one.id).includes(run.id),
    events,
    detail,
    decided: decided.outcome,
    executed: executed.execution.status,
    worked: worked.tasks.map((task) => task.status),
    graphs: graphs.length,
    deleted: deleted.message,
    session: finished.status,
    lines: lines.length > 0,
    sessions: sessions.map((one) => one.id).includes(session_id),
  }),
);
