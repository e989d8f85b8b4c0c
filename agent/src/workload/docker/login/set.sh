# Makes the renter's user and sets the password. Both come in on standard input, one line each: they are never an
# argument, never in the environment, and printf is the shell's own. Exit codes are explained in ../login.rs.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
export PATH
unset ENV BASH_ENV
umask 022
IFS= read -r user && IFS= read -r password || exit 64
have() { command -v "$1" >/dev/null 2>&1; }
# The fields of the user's line in a file such as /etc/passwd.
line_of() {
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in "$user:"*) return 0 ;; esac
    done <"$1"
    return 1
} 2>/dev/null

{ : >>/etc/passwd && : >>/etc/group; } 2>/dev/null || exit 70
shell=/bin/sh
[ -x /bin/bash ] && shell=/bin/bash
home=/home/$user

if ! line_of /etc/passwd; then
    if have useradd; then
        useradd -m -d "$home" -s "$shell" "$user" >/dev/null 2>&1
    elif have adduser; then
        adduser -D -h "$home" -s "$shell" "$user" >/dev/null 2>&1
    fi
fi
if ! line_of /etc/passwd; then
    # No tool for it, or it failed: the first free number from 1000.
    taken=' '
    for file in /etc/passwd /etc/group; do
        while IFS=: read -r _ _ id _; do taken="$taken$id "; done <"$file"
    done
    id=1000
    while case $taken in *" $id "*) true ;; *) false ;; esac; do id=$((id + 1)); done
    printf '%s:x:%s:\n' "$user" "$id" >>/etc/group &&
        printf '%s:x:%s:%s::%s:%s\n' "$user" "$id" "$id" "$home" "$shell" >>/etc/passwd || exit 71
    line_of /etc/passwd || exit 71
fi
IFS=: read -r _ _ uid gid _ home _ <<END
$line
END
if [ ! -d "$home" ]; then
    { mkdir -p "$home" && chmod 700 "$home" && chown "$uid:$gid" "$home"; } 2>/dev/null || exit 73
fi

# A hash that is set: neither empty nor locked.
is_set() {
    line_of /etc/shadow || return 1
    IFS=: read -r _ hash _ <<END
$line
END
    case $hash in '$'?*) return 0 ;; esac
    return 1
}
by_tool() {
    have chpasswd || return 1
    if have useradd; then
        printf '%s:%s\n' "$user" "$password" | chpasswd >/dev/null 2>&1
    else
        printf '%s:%s\n' "$user" "$password" | chpasswd -c sha512 >/dev/null 2>&1
    fi && is_set
}
try() {
    hash=$(printf '%s\n' "$password" | "$@" 2>/dev/null)
    case $hash in '$'?*) return 0 ;; esac
    return 1
}
by_hand() {
    try openssl passwd -6 -stdin || try mkpasswd -m sha512 -P 0 || try mkpasswd -m sha-512 -s ||
        try cryptpw -m sha512 -P 0 || try busybox mkpasswd -m sha512 -P 0 || return 1
    mine=$hash new=/etc/.shadow.berth
    rm -f "$new"
    if [ -e /etc/shadow ]; then cp -p /etc/shadow "$new" || return 2; fi
    umask 077
    {
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in "$user:"*) ;; *) printf '%s\n' "$line" ;; esac
        done </etc/shadow
        printf '%s:%s:19000:0:99999:7:::\n' "$user" "$mine"
    } >"$new" 2>/dev/null && mv -f "$new" /etc/shadow || return 2
    is_set
}
by_tool || by_hand
case $? in 0) exit 0 ;; 1) exit 72 ;; *) exit 70 ;; esac
