/** @file The HTTP side: /healthz, /nodes and /metrics; everything else is refused. */
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import type { Registry } from 'prom-client';
import { asFlowstepError, type FlowstepError } from '../errors.ts';
import type { Guard } from './guard.ts';
import type { NodeHost } from './protocol/node-host.ts';
import { errorMessage } from './session/wire-error.ts';

export interface RouteContext {
  readonly guard: Guard;
  readonly host: NodeHost;
  readonly version: string;
  readonly metrics: Registry;
  onDefect(error: unknown): void;
}

/** The statuses of what the guard refuses. */
export function statusOf(error: FlowstepError): number {
  switch (error.code) {
    case 'UNAUTHORISED':
      return 401;
    case 'HOST_REFUSED':
    case 'ORIGIN_REFUSED':
      return 403;
    case 'SERVER_STOPPING':
      return 503;
    default:
      return error.kind === 'user' ? 400 : 500;
  }
}

/** An error as the body of an HTTP answer. */
export function errorBody(error: FlowstepError): string {
  const { type: _, ...body } = errorMessage(error);
  return JSON.stringify(body);
}

/** The routes; Host and Origin are checked on all, the token on all but /healthz. */
export function routes({ guard, host, version, metrics, onDefect }: RouteContext): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use(checked((request) => guard.refusal(request.headers)));
  app.get('/healthz', (_, response) => {
    response.json({ status: 'ok', version });
  });
  app.use(checked((request) => guard.unauthorised(request.headers)));
  app.get('/nodes', (_, response) => {
    response.json(host.definitions());
  });
  app.get('/metrics', async (_, response) => {
    response.type(metrics.contentType).send(await metrics.metrics());
  });
  app.use((_, response) => {
    response.status(404).json({ message: 'there is nothing here' });
  });
  const onError: ErrorRequestHandler = (thrown, _request, response, _next) => {
    onDefect(thrown);
    const error = asFlowstepError(thrown);
    response.status(statusOf(error)).type('json').send(errorBody(error));
  };
  app.use(onError);
  return app;
}

function checked(
  refusal: (request: Parameters<RequestHandler>[0]) => FlowstepError | undefined,
): RequestHandler {
  return (request, response, next) => {
    response.set({ 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-store' });
    const error = refusal(request);
    if (error) response.status(statusOf(error)).type('json').send(errorBody(error));
    else next();
  };
}
