#!/bin/sh
# allow.sh PERSON KEY.pub: prints the line of authorized_keys that lets a person use git with this key, and nothing else.
set -eu

person=$1
case $person in
'' | *[!A-Za-z0-9._-]*)
    echo "allow.sh: '$person' is no id of a person: letters, digits, '.', '_' and '-' only" >&2
    exit 2
    ;;
esac
read -r key <"$2"
# sshd replaces \" by a quote, and the shell inserts the command that the client requested.
printf 'command="GREENROOM_USER=%s git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"",restrict %s\n' "$person" "$key"
