# Quartet as an image: built from the lock with hashes checked, run without root.
#
#   docker build -t quartet . && docker run -p 127.0.0.1:8080:8080 -e API_KEY=… -v quartet:/var/lib/quartet quartet

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/quartet
WORKDIR /src
# The libraries first: this layer changes only with the lock.
COPY requirements/base.lock requirements/base.lock
RUN /opt/quartet/bin/pip install --require-hashes -r requirements/base.lock
COPY . .
# The build tool comes from the lock too, so nothing unlocked is fetched here.
RUN /opt/quartet/bin/pip install --no-deps --no-build-isolation --no-index . \
    && /opt/quartet/bin/python -m compileall -q /opt/quartet/lib

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/quartet --create-home --shell /usr/sbin/nologin quartet
COPY --from=build /opt/quartet /opt/quartet
ENV PATH=/opt/quartet/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    QUARTET_HOME=/var/lib/quartet \
    ORCHESTRATOR_HOST=0.0.0.0 \
    ORCHESTRATOR_PORT=8080
USER quartet
WORKDIR /var/lib/quartet
VOLUME ["/var/lib/quartet"]
EXPOSE 8080
# urlopen fails on 503, which /health answers when no turn can be taken.
HEALTHCHECK --interval=15s --timeout=4s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['ORCHESTRATOR_PORT'] + '/health', timeout=3)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["quartet"]
CMD ["up"]
