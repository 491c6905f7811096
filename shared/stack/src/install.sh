# Installs the packages named as arguments (postgresql, rabbitmq-server), run by root.
# No service of the machine is started, now or at the next boot, and no database cluster is made.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf

restore() {
    rm -f "$policy"
    if [ -e "$policy.kcidb" ]; then mv "$policy.kcidb" "$policy"; fi
    if [ -e "$clusters.kcidb" ]; then mv "$clusters.kcidb" "$clusters"; fi
}
get() {
    apt-get install --quiet=2 --yes --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >&2
}
# Package lists may be missing, or so old that their packages are gone.
get_or_update() {
    if ! get "$@"; then
        echo "kcidb: fetching the package lists" >&2
        apt-get update --quiet=2 >&2
        get "$@"
    fi
}

if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then
    echo "kcidb: fetching the package lists" >&2
    apt-get update --quiet=2 >&2
fi

trap restore EXIT
trap 'exit 130' INT TERM HUP
if [ -e "$policy" ] && [ ! -e "$policy.kcidb" ]; then mv "$policy" "$policy.kcidb"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

for package in "$@"; do
    echo "kcidb: installing $package" >&2
    if [ "$package" = postgresql ]; then
        get_or_update postgresql-common
        if [ -e "$clusters" ]; then
            cp -p "$clusters" "$clusters.kcidb"
            echo 'create_main_cluster = false' >>"$clusters"
        fi
    fi
    get_or_update "$package"
    if [ "$package" = rabbitmq-server ] && command -v systemctl >/dev/null; then
        systemctl --quiet disable rabbitmq-server.service epmd.service epmd.socket 2>/dev/null || true
    fi
done
