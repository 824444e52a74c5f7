# shellcheck shell=bash
# Turn the current shell (bash or zsh) into one of the environments of pixi.toml, as `conda activate` would:
#
#     source pixi_activate.sh [ENVIRONMENT]      # "default" if none is named; in a script, name it always
#
# Leave it by closing the shell; `pixi shell -e ENVIRONMENT` opens a new one instead.

_intccms_pixi_script() {
    # Where this file is if it is being sourced; nothing if it is being run.
    if [ -n "${ZSH_VERSION:-}" ]; then
        case "${ZSH_EVAL_CONTEXT:-}" in
            *file*) eval 'printf "%s\n" "${funcsourcetrace[1]%:*}"' ;; # zsh only: bash cannot parse it
        esac
    elif [ -n "${BASH_VERSION:-}" ] && [ "${BASH_SOURCE[0]}" != "$0" ]; then
        printf '%s\n' "${BASH_SOURCE[0]}"
    fi
}

_intccms_pixi_hook() {
    # The shell code that activates environment $2 of the workspace around file $1.
    local root shell=bash
    if [ -z "$1" ]; then
        echo "pixi_activate.sh changes the shell it is read by, so it cannot be run: use 'source pixi_activate.sh'." >&2
        return 1
    fi
    if ! command -v pixi >/dev/null 2>&1; then
        echo "pixi_activate.sh: there is no pixi on PATH. Install it (https://pixi.sh), or use pip as README.md says." >&2
        return 1
    fi
    [ -z "${ZSH_VERSION:-}" ] || shell=zsh
    root="$(cd "$(dirname "$1")" && pwd)" || return 1
    if ! pixi shell-hook --manifest-path "$root/pixi.toml" --environment "$2" --shell "$shell"; then
        echo "pixi_activate.sh: pixi cannot give the environment '$2'; [environments] in $root/pixi.toml lists them." >&2
        return 1
    fi
}

if _intccms_pixi_code="$(_intccms_pixi_hook "$(_intccms_pixi_script)" "${1:-default}")"; then
    eval "$_intccms_pixi_code"
    unset _intccms_pixi_code
    unset -f _intccms_pixi_script _intccms_pixi_hook
else
    unset _intccms_pixi_code
    unset -f _intccms_pixi_script _intccms_pixi_hook
    # shellcheck disable=SC2317 # `return` fails where the file is run, not sourced
    return 1 2>/dev/null || exit 1
fi
