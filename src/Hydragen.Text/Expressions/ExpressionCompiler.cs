namespace Hydragen.Text.Expressions;

/// <summary>Turns a parsed expression into instructions; execution starts at the last one.</summary>
/// <remarks>Emitted back to front, so that every instruction knows where it goes on.</remarks>
internal sealed class ExpressionCompiler
{
    // Bounds the work per character: what real split patterns need is two orders of magnitude below.
    private const int MaximumInstructions = 4096;

    private readonly List<Instruction> _instructions = [new Instruction(Operation.Match)];

    private ExpressionCompiler()
    {
    }

    /// <exception cref="FormatException">The expression is too large.</exception>
    public static Instruction[] Compile(Node node)
    {
        ExpressionCompiler compiler = new();
        int start = compiler.Emit(node, next: 0);
        if (start != compiler._instructions.Count - 1)
            compiler.Add(new Instruction(Operation.Fork, null, start, start));
        return [.. compiler._instructions];
    }

    /// <summary>Emits a node that goes on at <paramref name="next"/>; returns where the node starts.</summary>
    private int Emit(Node node, int next)
    {
        switch (node)
        {
            case Node.One one:
                return Add(new Instruction(Operation.Consume, one.Class, next));
            case Node.LookAhead lookAhead:
                return Add(new Instruction(lookAhead.IsNegated ? Operation.Forbid : Operation.Require, lookAhead.Class, next));
            case Node.Sequence sequence:
                for (int i = sequence.Parts.Count - 1; i >= 0; i--)
                    next = Emit(sequence.Parts[i], next);
                return next;
            case Node.Choice choice:
                int start = Emit(choice.Parts[^1], next);
                for (int i = choice.Parts.Count - 2; i >= 0; i--)
                    start = Add(new Instruction(Operation.Fork, null, Emit(choice.Parts[i], next), start));
                return start;
            case Node.Repeat repeat:
                return EmitRepeat(repeat, next);
            default:
                throw new InvalidOperationException($"The node {node.GetType().Name} has no instructions.");
        }
    }

    private int EmitRepeat(Node.Repeat repeat, int next)
    {
        int start = next;
        if (repeat.Maximum == int.MaxValue)
        {
            // The loop's fork is needed before the body that comes back to it: reserved first, filled in afterwards.
            int fork = Add(default);
            _instructions[fork] = Fork(repeat.IsLazy, Emit(repeat.Part, fork), next);
            start = fork;
        }
        else
        {
            for (int i = repeat.Minimum; i < repeat.Maximum; i++)
                start = Add(Fork(repeat.IsLazy, Emit(repeat.Part, start), next));
        }

        for (int i = 0; i < repeat.Minimum; i++)
            start = Emit(repeat.Part, start);
        return start;
    }

    private static Instruction Fork(bool isLazy, int body, int next) =>
        isLazy ? new Instruction(Operation.Fork, null, next, body) : new Instruction(Operation.Fork, null, body, next);

    private int Add(Instruction instruction)
    {
        if (_instructions.Count == MaximumInstructions)
            throw new FormatException("it is too large once its repetitions are written out");
        _instructions.Add(instruction);
        return _instructions.Count - 1;
    }
}
