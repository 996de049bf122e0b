# The edge with its embedded engine; with engine.kind drachtio it needs a drachtio-server beside it (docker-compose.yml).
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --include=dev --loglevel=error
COPY tsconfig.json ./
COPY apps ./apps
COPY lib ./lib
RUN node node_modules/typescript/bin/tsc -p . && npm prune --omit=dev --loglevel=error

FROM node:20-bookworm-slim
ENV NODE_ENV=production \
    REVEILLE_STORE_PATH=/var/lib/reveille
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
# the store is the only place the edge writes to
RUN mkdir -p /var/lib/reveille && chown node:node /var/lib/reveille
USER node
VOLUME /var/lib/reveille
# 5061 and 443 when the config has listeners for TLS and browsers
EXPOSE 5060/udp 5060/tcp 5061/tcp 443/tcp 9090/tcp
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9090/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--single-threaded-gc", "--enable-source-maps", "dist/apps/edge/main.js"]
