using System.Globalization;
using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text.Expressions;

/// <summary>A search with its scratch memory: all ways through the instructions at once, in order of preference. For one caller at a time.</summary>
internal sealed class ExpressionSearch(Instruction[] instructions) : SplitPattern
{
    // A way is where it stands and where its match began. No two ways stand at the same instruction.
    private (int Instruction, int Start)[] _current = new (int, int)[instructions.Length];
    private (int Instruction, int Start)[] _next = new (int, int)[instructions.Length];
    private readonly long[] _lastSeen = new long[instructions.Length];
    private readonly int[] _stack = new int[2 * instructions.Length + 1];
    private long _step;

    public override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        int matchStart = -1;
        int matchEnd = -1;
        int count = 0;
        int position = from;
        int value = Read(text, position, out UnicodeCategory category, out int size);
        _step++;
        while (true)
        {
            // A match may begin here, less preferred than those that began before.
            if (matchStart < 0)
                Follow(instructions.Length - 1, position, value, category, _current, ref count);

            int following = Read(text, position + size, out UnicodeCategory followingCategory, out int followingSize);
            int nextCount = 0;
            _step++;
            for (int i = 0; i < count; i++)
            {
                (int index, int begin) = _current[i];
                ref readonly Instruction instruction = ref instructions[index];
                if (instruction.Operation == Operation.Match)
                {
                    // What comes behind is less preferred; what came before may still match longer.
                    (matchStart, matchEnd) = (begin, position);
                    break;
                }

                if (value >= 0 && instruction.Class!.Contains(value, category))
                    Follow(instruction.Next, begin, following, followingCategory, _next, ref nextCount);
            }

            (_current, _next) = (_next, _current);
            count = nextCount;
            if (value < 0 || count == 0 && matchStart >= 0)
                break;
            position += size;
            (value, category, size) = (following, followingCategory, followingSize);
        }

        start = matchStart;
        length = matchEnd - matchStart;
        return matchStart >= 0;
    }

    /// <summary>Adds the ways from an instruction up to those that take a code point or match.</summary>
    private void Follow(int first, int begin, int value, UnicodeCategory category, (int, int)[] ways, ref int count)
    {
        int depth = 0;
        _stack[depth++] = first;
        while (depth > 0)
        {
            int index = _stack[--depth];
            if (_lastSeen[index] == _step)
                continue;
            _lastSeen[index] = _step;
            ref readonly Instruction instruction = ref instructions[index];
            switch (instruction.Operation)
            {
                case Operation.Fork:
                    _stack[depth++] = instruction.Alternative;
                    _stack[depth++] = instruction.Next;
                    break;
                case Operation.Require or Operation.Forbid:
                    bool isMember = value >= 0 && instruction.Class!.Contains(value, category);
                    if (isMember == (instruction.Operation == Operation.Require))
                        _stack[depth++] = instruction.Next;
                    break;
                default:
                    ways[count++] = (index, begin);
                    break;
            }
        }
    }

    /// <summary>The code point at a position, or -1 at the end.</summary>
    private static int Read(ReadOnlySpan<char> text, int position, out UnicodeCategory category, out int size)
    {
        if (position >= text.Length)
        {
            (category, size) = (default, 0);
            return -1;
        }

        category = UnicodeClasses.CategoryAt(text, position, out size);
        return size == 2 ? char.ConvertToUtf32(text[position], text[position + 1]) : text[position];
    }
}
