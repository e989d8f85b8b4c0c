# Keeps an engine in the directory $1 until standard input ends, then removes everything of it.
trap '' INT TERM HUP
dir=$1
group=berth-$(basename "$dir")
export PATH="$PATH:/usr/sbin:/sbin"
unshare --mount --pid --fork --kill-child=KILL --mount-proc sh -c '
    dir=$1 group=$2
    while read -r word; do
        case $word in
        start*)
            rm -f "$dir/pid"
            path=$PATH
            if [ "$word" = start-without-init ]; then
                path=$dir/bin
                mkdir "$path"
                for program in dockerd containerd containerd-shim-runc-v2 runc ps kill; do
                    ln -s "$(command -v "$program")" "$path/$program"
                done
            fi
            PATH=$path dockerd --data-root "$dir/x/d" --exec-root "$dir/x/e" -H "unix://$dir/s" --pidfile "$dir/pid" \
                --cgroup-parent "/$group" --iptables=false --ip6tables=false --bridge=none </dev/null &
            daemon=$! ;;
        kill)
            kill -9 "$daemon"
            for pid in $(cat "$dir/x/e/containerd/containerd.pid"); do kill -9 "$pid"; done
            wait "$daemon"
            rm -f "$dir/s" ;;
        esac
    done' keeper "$dir" "$group"
for try in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$dir"
    find /sys/fs/cgroup -depth -type d -path "*/$group*" -exec rmdir {} + 2>/dev/null
    [ -e "$dir" ] || exit 0
    sleep 0.2
done
