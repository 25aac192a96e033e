using System.Text.Json;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>A sweep over batches, prompts and new tokens.</summary>
/// <param name="Cells">The points, in order.</param>
/// <param name="IsPaper">Whether decoding is timed as in the paper: a call for all new tokens, less a call for one.</param>
internal sealed record SweepPlan(IReadOnlyList<GenerationCell> Cells, bool IsPaper) : IGenerationPlan
{
    public int? ContextLength => Cells.Max(cell => cell.Length);

    public int MaxSequences => Cells.Max(cell => cell.Batch);

    public IReadOnlyList<string> Modes { get; } = [.. Enum.GetValues<SharingMode>().Select(mode => mode.Name())];

    public int NumDefaultModes => Modes.Count;

    public void WriteSettings(Utf8JsonWriter json) => json.WriteString("protocol", IsPaper ? GenerationProtocols.Paper : GenerationProtocols.Custom);

    public IGenerationProtocol Create(GenerationContext context)
    {
        int limit = context.Model.Configuration.MaxContextLength;
        if (ContextLength > limit)
            throw new InputException($"--prefix, --suffix and --new-tokens reach {ContextLength} tokens, but the model's context holds {limit}.");
        return new SweepProtocol(context, this);
    }
}
