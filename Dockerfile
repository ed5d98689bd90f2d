# docker build -t hauskv . && docker run --rm -p 127.0.0.1:9888:9888 --shm-size 1g hauskv --memory 768m
#
# The segment lies in the container's /dev/shm, which has 64 MB unless --shm-size says more; without --memory the server
# takes what fits. Inside a container loopback is of no use, so it listens on all addresses: publish the port on
# 127.0.0.1 as above, since there is no authentication.
FROM debian:12-slim AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
       gcc libc6-dev make libsodium-dev \
    && rm -rf /var/lib/apt/lists/*
COPY . /hauskv
RUN make -C /hauskv all

FROM debian:12-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libsodium23 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /hauskv/build/hauskv-server /usr/local/bin/hauskv-server
USER nobody
EXPOSE 9888
ENTRYPOINT ["hauskv-server", "--bind", "0.0.0.0", "--insecure"]
