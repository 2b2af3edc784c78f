/* settings_show.c - see settings_show.h. The result is that of doc/protocol.md,
 * section 6.
 */
#include "daemon/settings_show.h"

#include "daemon/pipeline.h"
#include "daemon/settings_table.h"

static const char *
origin_text(enum settings_origin origin)
{
    static const char *const texts[] = {[SETTINGS_DEFAULT] = "default",
                                        [SETTINGS_FILE] = "file",
                                        [SETTINGS_COMMAND_LINE] = "command line"};

    return texts[origin];
}

/* Where nobody has named a socket, the one that was found. */
static const char *
text_of(const struct daemon *daemon, const struct setting *setting)
{
    const char *text = *setting_text(daemon->settings, setting);

    if (!text && setting->offset == offsetof(struct settings, socket))
        return daemon->listener.address.sun_path;
    return text;
}

static void
pack_setting(msgpack_packer *packer, const struct daemon *daemon, size_t i)
{
    const struct setting *setting = &settings_table[i];

    msgpack_pack_map(packer, 4);
    pack_key_text(packer, "key", setting->key);
    if (setting->type == SETTING_TEXT)
        pack_key_text(packer, "value", text_of(daemon, setting));
    else
        pack_key_int(packer, "value", *setting_number(daemon->settings, setting));
    pack_key_text(packer, "origin", origin_text(daemon->settings->origins[i]));
    pack_key_bool(packer, "reloads", !setting->stays);
}

int
settings_show(struct daemon *daemon, const struct message *message, struct reply *reply,
              struct lighter_error *err)
{
    const struct settings *settings = daemon->settings;
    struct message_out out;

    (void)message, (void)err;
    reply_begin(reply, &out);
    msgpack_pack_map(&out.packer, 2 + PIPELINES_N_PARTS);
    pack_key_text(&out.packer, "file", settings->config);
    pack_key(&out.packer, "settings");
    msgpack_pack_array(&out.packer, n_settings);
    for (size_t i = 0; i < n_settings; i++)
        pack_setting(&out.packer, daemon, i);
    for (enum pipelines_part part = 0; part < PIPELINES_N_PARTS; part++) {
        pack_key(&out.packer, pipelines_part_name(part));
        msgpack_pack_object(&out.packer, *pipelines_part(settings->pipelines, part));
    }
    reply_send(reply, &out);
    return 0;
}
