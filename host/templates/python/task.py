from streamtask import Context, task


@task
def greet(ctx: Context, names: list[str] = []):
    "Greets everyone."
    for nth, name in enumerate(names):
        ctx.send("greeting", f"Hello, {name}!")
        ctx.progress(name, step=nth + 1, total=len(names))
        ctx.sleep(0.2)
    return {"greeted": len(names)}
