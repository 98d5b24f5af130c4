om = client()
if len(sys.argv) > 1:
    code = sys.argv.pop(1)
    try:
        compiled, value = compile(code, '<om shell>', 'eval'), True
    except SyntaxError:
        compiled, value = compile(code, '<om shell>', 'exec'), False
    answer = eval(compiled, {'om': om, '__name__': '__main__'})
    if value and answer is not None:
        print(answer)
else:
    print('omegaml is available as the om variable', file=sys.stderr)
    try:
        from IPython import start_ipython
    except ImportError:
        import code
        code.interact(local={'om': om}, banner='', exitmsg='')
    else:
        start_ipython(argv=[], user_ns={'om': om})
