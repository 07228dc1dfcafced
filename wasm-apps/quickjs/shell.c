/* QuickJS as a command: `quickjs -e SCRIPT [ARGUMENT...]`, or the script on standard input. */
#include <stdio.h>
#include <string.h>

#include "../script_text.h"
#include "quickjs.h"

static JSValue print(JSContext *js, JSValueConst this_value, int count, JSValueConst *values)
{
    (void)this_value;
    for (int i = 0; i < count; i++) {
        const char *text = JS_ToCString(js, values[i]);
        if (text == NULL)
            return JS_EXCEPTION;
        printf(i == 0 ? "%s" : " %s", text);
        JS_FreeCString(js, text);
    }
    putchar('\n');
    return JS_UNDEFINED;
}

static void complain(JSContext *js)
{
    JSValue error = JS_GetException(js);
    const char *text = JS_ToCString(js, error);
    fprintf(stderr, "%s\n", text == NULL ? "?" : text);
    JS_FreeCString(js, text);
    JS_FreeValue(js, error);
}

static void define_globals(JSContext *js, int count, char **arguments)
{
    JSValue global = JS_GetGlobalObject(js);
    JSValue list = JS_NewArray(js);
    for (int i = 0; i < count; i++)
        JS_SetPropertyUint32(js, list, i, JS_NewString(js, arguments[i]));
    JS_SetPropertyStr(js, global, "scriptArgs", list);
    JS_SetPropertyStr(js, global, "print", JS_NewCFunction(js, print, "print", 1));
    JS_FreeValue(js, global);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    char *script = script_text(argc, argv);
    JSRuntime *runtime = JS_NewRuntime();
    JSContext *js = runtime == NULL ? NULL : JS_NewContext(runtime);
    if (script == NULL || js == NULL)
        return 2;
    int skipped = script_is_argument(argc, argv) ? 3 : 1;
    define_globals(js, argc > skipped ? argc - skipped : 0, argv + skipped);

    JSValue result = JS_Eval(js, script, strlen(script), "script", JS_EVAL_TYPE_GLOBAL);
    int failed = JS_IsException(result);
    if (failed)
        complain(js);
    JS_FreeValue(js, result);
    JSContext *job;
    for (int pending = 1; pending > 0;) {
        pending = JS_ExecutePendingJob(runtime, &job);
        if (pending < 0) {
            complain(job);
            failed = 1;
        }
    }
    JS_FreeContext(js);
    JS_FreeRuntime(runtime);
    return failed;
}
