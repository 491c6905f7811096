# Ends the shared test servers when no test process has used them for a while.
# $1: the folder; $2: how many seconds. Whoever uses the servers holds a shared lock on the file `users`.
cd /
while exec 9<"$1/users"; do
    flock --exclusive 9
    flock --unlock 9
    sleep "$2"
    if flock --exclusive --nonblock 9; then
        for process in /proc/[0-9]*; do
            case $(readlink "$process/cwd") in "$1"/stack/*) kill -KILL "${process#/proc/}" ;; esac
        done
        rm -rf "$1/stack" || { sleep 1; rm -rf "$1/stack"; }
        exit 0
    fi
done
