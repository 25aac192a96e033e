using Hydragen.Engine;

namespace Hydragen.Cli.Output;

/// <summary>Passes completions on in the order of prompts and samples, each as early as that order allows.</summary>
internal sealed class OrderedResults(Action<GenerationResult> write)
{
    private readonly Dictionary<(int Input, int Sample), GenerationResult> _waiting = [];
    private (int Input, int Sample) _next;

    public void Add(GenerationResult result)
    {
        _waiting.Add((result.InputIndex, result.SampleIndex), result);
        while (_waiting.Remove(_next, out GenerationResult? next))
        {
            write(next);
            _next = next.SampleIndex + 1 < next.SampleCount ? (_next.Input, _next.Sample + 1) : (_next.Input + 1, 0);
        }
    }
}
