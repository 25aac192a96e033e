using System.CommandLine;
using Hydragen.Cli.Commands;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>The options that say what the decoding benchmark measures.</summary>
internal sealed class DecodingArguments
{
    private const int MaxHeads = 1024, NoLimit = 0, ProcessorSeconds = 120;

    private readonly Option<string[]> _sweeps = NameList("--sweeps", "sweep", "Which sweeps to run; all when not given.", [.. DecodingSweep.All.Select(sweep => sweep.Name)]);
    private readonly Option<string[]> _kvTypes = NameList(
        "--kv-type", "type", "Types of keys and values (queries have the same, or bf16 beside bytes); all that the device supports when not given.", [.. ElementTypes.All.Select(type => type.ShortName())]);

    private readonly Option<int> _heads = Values.Integer("--heads", "Query heads.", 32, 1, MaxHeads);
    private readonly Option<int> _kvHeads = Values.Integer("--kv-heads", "Key/value heads.", 8, 1, MaxHeads);
    private readonly Option<int> _headDim = Values.Integer("--head-dim", "Elements of a head.", 128, 8, AttentionShape.MaxHeadDim);
    private readonly Option<int?> _maxLength = Values.OptionalInteger("--max-length", "Leave out points with more tokens a sequence; none when not given.", 1, int.MaxValue);
    private readonly Option<int?> _maxBatch = Values.OptionalInteger("--max-batch", "Leave out points with more sequences; none when not given.", 1, int.MaxValue);
    private readonly Option<int?> _maxSeconds = Values.OptionalInteger(
        "--max-seconds",
        $"About how long to measure; points that would take longer are listed and left out, the longest first. 0 is no limit. {ProcessorSeconds} on a processor, no limit on a GPU, when not given.",
        NoLimit, int.MaxValue);

    private readonly Option<bool> _warm = new("--warm") { Description = "Use the same data in every call, so that caches may keep it." };
    private readonly Option<long?> _maxKvMemory = Values.OptionalInteger(
        "--max-kv-memory", "The most memory for keys, values, queries and outputs, in MiB; half of the memory, or a GPU's free memory, when not given.", 1L, 1L << 30);

    public DecodingArguments(Command command)
    {
        foreach (Option option in (Option[])[_sweeps, _kvTypes, _heads, _kvHeads, _headDim, _maxLength, _maxBatch, _maxSeconds, _warm, _maxKvMemory])
            command.Options.Add(option);
    }

    /// <summary>The points to measure.</summary>
    /// <exception cref="ArgumentException">The heads do not fit each other.</exception>
    /// <exception cref="InputException">The options leave none.</exception>
    public IReadOnlyList<DecodingPoint> Points(ParseResult parsed)
    {
        var shape = new AttentionShape(parsed.GetValue(_heads), parsed.GetValue(_kvHeads), parsed.GetValue(_headDim));
        IEnumerable<DecodingSweep> sweeps = parsed.GetValue(_sweeps) is { Length: > 0 } names ? DecodingSweep.All.Where(sweep => names.Contains(sweep.Name)) : DecodingSweep.All;
        DecodingPoint[] points = [.. sweeps.SelectMany(sweep => sweep.Points(shape, parsed.GetValue(_maxLength) ?? int.MaxValue, parsed.GetValue(_maxBatch) ?? int.MaxValue))];
        return points.Length > 0 ? points : throw new InputException("--max-length and --max-batch leave no point of these sweeps.");
    }

    /// <summary>What each type of keys and values is measured with.</summary>
    /// <exception cref="InputException">The device has no attention over a type that was asked for.</exception>
    public IReadOnlyList<AttentionSetup> Setups(ParseResult parsed, AttentionDevice device, IReadOnlyList<DecodingPoint> points, int repeats)
    {
        string[] names = parsed.GetValue(_kvTypes) ?? [];
        long maxBytes = parsed.GetValue(_maxKvMemory) << 20 ?? device.MaxKvBytes;
        AttentionCell[] cells = [.. points.Select(point => point.Cell)];
        var setups = new List<AttentionSetup>();
        foreach (ElementType type in ElementTypes.All)
        {
            if (names.Length > 0 && !names.Contains(type.ShortName())) continue;
            var setup = new AttentionSetup("decoding", type, cells, [AttentionMode.Hydragen], repeats, parsed.GetValue(_warm), maxBytes);
            if (WhyUnsupported(device.Backend, setup, cells[0].Shape) is not { } reason) setups.Add(setup);
            else if (names.Length > 0) throw new InputException($"--kv-type {type.ShortName()} is not supported here: {reason}");
        }
        return setups;
    }

    /// <summary>How long to measure; null for no limit.</summary>
    public TimeSpan? MaxTime(ParseResult parsed, bool isGpu) =>
        (parsed.GetValue(_maxSeconds) ?? (isGpu ? NoLimit : ProcessorSeconds)) is int seconds and not NoLimit ? TimeSpan.FromSeconds(seconds) : null;

    private static string? WhyUnsupported(IAttentionBackend backend, AttentionSetup setup, AttentionShape shape)
    {
        try
        {
            backend.CreateKvCache(new KvCacheShape(1, shape.NumKvHeads, shape.HeadDim, setup.KvType), 0).Dispose();
            backend.Allocate(setup.QueryType, 1).Dispose();
            return null;
        }
        catch (Exception exception) when (exception is ArgumentException or NotSupportedException)
        {
            return exception.Message;
        }
    }

    private static Option<string[]> NameList(string name, string word, string description, string[] allowed)
    {
        var option = new Option<string[]>(name)
        {
            Description = description,
            HelpName = $"{word},{word},..",
            CustomParser = result =>
            {
                string text = result.Tokens[0].Value;
                string[] names = text.Split(',');
                if (names.Except(allowed).Any() || names.Distinct().Count() != names.Length)
                    result.AddError($"{name} takes some of {string.Join(',', allowed)}, not '{text}'");
                return names;
            },
        };
        option.CompletionSources.Add(allowed);
        return option;
    }
}
