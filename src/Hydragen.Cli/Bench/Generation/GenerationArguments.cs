using System.CommandLine;
using Hydragen.Cli.Commands;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>The options that say which model the generation benchmark runs, and what it measures.</summary>
internal sealed class GenerationArguments
{
    private const string Embedded = "embedded";
    private const int MaxBatch = 4096, MaxTokens = 1 << 20, MaxRows = 65_536;

    private readonly Option<string> _protocol = Values.Choice(
        "--protocol", "What to measure.", GenerationProtocols.Custom,
        GenerationProtocols.Custom, GenerationProtocols.Paper, GenerationProtocols.Needles, GenerationProtocols.Tree);

    private readonly Option<string?> _model = new("--model")
    {
        Description = $"Model folder, 'embedded' for the small model in the program (the default), or {string.Join(", ", ModelSize.Named.Keys)} for random weights of that shape.",
        HelpName = "DIR",
    };

    private readonly Option<string?> _randomModel = new("--random-model")
    {
        Description = "A Llama of this size with random BF16 weights instead.",
        HelpName = ModelSize.Form,
    };

    private readonly Option<int[]> _batch = NumberList.Option("--batch", "Sequences; default 1,8,32,64, and 32,64,..,1024 with paper on a GPU.", 1, MaxBatch);
    private readonly Option<int[]> _prefix = NumberList.Option(
        "--prefix", "Tokens of the shared prompt; default 1024,4096, and 1024,2048,..,16384 less the new tokens with paper on a GPU.", 1, MaxTokens);

    private readonly Option<int[]> _suffix = NumberList.Option("--suffix", "Prompt tokens of each sequence's own behind it (custom only); default 0.", 0, MaxTokens);
    private readonly Option<int[]> _newTokens = NumberList.Option(
        "--new-tokens", "New tokens of each sequence; default 32, 128 with paper on a GPU, 24 with needles, 512 with tree.", 2, MaxTokens);

    private readonly Option<int[]> _questions = NumberList.Option("--questions", "Questions about the document (needles only); default 2,4,..,1024.", 1, MaxBatch);
    private readonly Option<int?> _documentTokens = Values.OptionalInteger("--document-tokens", "Length of the document (needles only); default 4096.", 1, MaxTokens);
    private readonly Option<int?> _seed = Values.OptionalInteger("--seed", "Seed of the document (needles only); default 9.", int.MinValue, int.MaxValue);
    private readonly Option<int?> _problems = Values.OptionalInteger("--problems", "Problems in all (tree only); default 8.", 1, MaxBatch);
    private readonly Option<int?> _samples = Values.OptionalInteger("--samples", "Samples of each problem (tree only); default 128.", 1, MaxBatch);
    private readonly Option<int?> _headerTokens = Values.OptionalInteger("--header-tokens", "Tokens that all samples share (tree only); default 2400.", 1, MaxTokens);
    private readonly Option<int?> _problemTokens = Values.OptionalInteger("--problem-tokens", "Tokens of a problem behind them (tree only); default 400.", 1, MaxTokens);
    private readonly Option<int?> _atOnce = Values.OptionalInteger(
        "--at-once", "Problems of a call at the equal batch (tree only); default as many as fit when only the header is shared.", 1, MaxBatch);

    private readonly Option<string> _computeType = DeviceArguments.MakeComputeType();
    private readonly Option<string> _kvType = DeviceArguments.MakeKvType();
    private readonly Option<string> _prefixKvType = DeviceArguments.MakePrefixKvType("--modes copied");
    private readonly Option<string> _kvScaling = DeviceArguments.MakeKvScaling();
    private readonly Option<string> _weightType = ModelArguments.MakeWeightType();
    private readonly Option<int?> _maxBatchRows = Values.OptionalInteger(
        "--max-batch-rows", "The most tokens of one forward pass, which cuts long prompts into chunks; at least the batch. 512, or 2048 on a GPU, when not given.", 1, MaxRows);

    private readonly Option<long?> _maxKvMemory = Values.OptionalInteger(
        "--max-kv-memory", $"The most KV memory, in MiB; {ModelArguments.KvMemoryRule} when not given.", 1L, 1L << 30);

    private readonly Option<string?> _resume = new("--resume")
    {
        Description = "Keep each row in this file as soon as it is measured; rows that an earlier run left there are not measured again.",
        HelpName = "FILE.jsonl",
    };

    public GenerationArguments(Command command)
    {
        foreach (Option option in (Option[])[
            _protocol, _model, _randomModel, _batch, _prefix, _suffix, _newTokens, _questions, _documentTokens, _seed, _problems, _samples, _headerTokens,
            _problemTokens, _atOnce, _computeType, _kvType, _prefixKvType, _kvScaling, _weightType, _maxBatchRows, _maxKvMemory, _resume])
        {
            command.Options.Add(option);
        }
    }

    /// <summary>Name of the protocol.</summary>
    public string Protocol(ParseResult parsed) => parsed.GetValue(_protocol)!;

    /// <summary>Where rows are kept, or null.</summary>
    public string? ResumePath(ParseResult parsed) => parsed.GetValue(_resume);

    /// <summary>How weights are kept.</summary>
    public WeightType WeightType(ParseResult parsed) => ModelArguments.ParseWeightType(parsed.GetValue(_weightType));

    /// <summary>The type of activations that was asked for; null leaves it to the backend.</summary>
    public ElementType? ComputeType(ParseResult parsed) => DeviceArguments.ParseComputeType(parsed.GetValue(_computeType));

    /// <summary>The type of KV memory that was asked for; null is that of the activations.</summary>
    public ElementType? KvType(ParseResult parsed) => DeviceArguments.ParseKvType(parsed.GetValue(_kvType));

    /// <summary>The type of the KV memory of prefixes that was asked for; null is that of all KV memory.</summary>
    public ElementType? PrefixKvType(ParseResult parsed) => DeviceArguments.ParseKvType(parsed.GetValue(_prefixKvType));

    /// <summary>Where the scales of FP8 keys and values come from.</summary>
    public KvScaling KvScaling(ParseResult parsed) => DeviceArguments.ParseKvScaling(parsed.GetValue(_kvScaling));

    /// <summary>The KV memory that was asked for, in bytes; null leaves it to the backend.</summary>
    public long? MaxKvBytes(ParseResult parsed) => parsed.GetValue(_maxKvMemory) << 20;

    /// <summary>Rows of a forward pass that were asked for, or null.</summary>
    public int? MaxBatchRows(ParseResult parsed) => parsed.GetValue(_maxBatchRows);

    /// <summary>Which model: what to call it, and the size of a random one or the folder of another.</summary>
    /// <exception cref="InputException">The size is none, there is no such folder, or both are given.</exception>
    public (string Name, ModelSize? Size, string Folder) Model(ParseResult parsed)
    {
        string? given = parsed.GetValue(_model);
        if (parsed.GetValue(_randomModel) is { } numbers)
        {
            if (given is not null) throw new InputException("Give --model or --random-model, not both.");
            return ($"random {numbers}", ModelSize.Parse(numbers), "");
        }
        if (given is null or Embedded) return (Embedded, null, ModelArguments.EmbeddedModelPath);
        if (Directory.Exists(given)) return (Path.GetFileName(Path.TrimEndingDirectorySeparator(given)), null, given);
        if (ModelSize.Named.TryGetValue(given, out ModelSize? size)) return ($"{given}, random weights", size, "");
        throw new InputException($"There is no model folder '{given}', and it is none of {string.Join(", ", ModelSize.Named.Keys)}.");
    }

    /// <summary>What is to be measured.</summary>
    /// <exception cref="InputException">Options do not go together.</exception>
    public IGenerationPlan Read(ParseResult parsed, bool isGpu)
    {
        string protocol = Protocol(parsed);
        Option[] sweep = [_batch, _prefix], needles = [_questions, _documentTokens, _seed], tree = [_problems, _samples, _headerTokens, _problemTokens, _atOnce];
        if (protocol is GenerationProtocols.Needles or GenerationProtocols.Tree) Refuse(parsed, sweep);
        if (protocol != GenerationProtocols.Custom) Refuse(parsed, _suffix);
        if (protocol != GenerationProtocols.Needles) Refuse(parsed, needles);
        if (protocol != GenerationProtocols.Tree) Refuse(parsed, tree);
        return protocol switch
        {
            GenerationProtocols.Needles => new NeedlesPlan(
                Distinct(parsed, _questions, GenerationProtocols.Questions), parsed.GetValue(_documentTokens) ?? 4096, NewTokens(parsed, 24), parsed.GetValue(_seed) ?? 9),
            GenerationProtocols.Tree => new TreePlan(
                parsed.GetValue(_problems) ?? 8, parsed.GetValue(_samples) ?? 128, parsed.GetValue(_headerTokens) ?? 2400, parsed.GetValue(_problemTokens) ?? 400,
                NewTokens(parsed, 512), parsed.GetValue(_atOnce)),
            _ => ReadSweep(parsed, protocol == GenerationProtocols.Paper, isGpu),
        };
    }

    private SweepPlan ReadSweep(ParseResult parsed, bool isPaper, bool isGpu)
    {
        bool isLarge = isPaper && isGpu, hasPrefixes = parsed.GetResult(_prefix) is not null;
        GenerationCell[] cells =
        [
            .. from newTokens in Distinct(parsed, _newTokens, isLarge ? [128] : [32])
               from prefix in Distinct(parsed, _prefix, isLarge ? GenerationProtocols.PaperPrefixes : [1024, 4096])
               from suffix in Distinct(parsed, _suffix, [0])
               from batch in Distinct(parsed, _batch, isLarge ? GenerationProtocols.PaperBatches : [1, 8, 32, 64])
               let length = hasPrefixes || !isLarge ? prefix : Math.Min(prefix, Math.Max(1, GenerationProtocols.PaperContext - newTokens))
               select new GenerationCell(batch, length, suffix, newTokens),
        ];
        return new SweepPlan([.. cells.Distinct()], isPaper);
    }

    /// <exception cref="InputException">There are several.</exception>
    private int NewTokens(ParseResult parsed, int otherwise) => NumberList.Get(parsed, _newTokens, otherwise) is [int one] ? one
        : throw new InputException($"--new-tokens takes one number with --protocol {Protocol(parsed)}.");

    private static IReadOnlyList<int> Distinct(ParseResult parsed, Option<int[]> option, IReadOnlyList<int> otherwise) =>
        [.. NumberList.Get(parsed, option, otherwise).Distinct()];

    private void Refuse(ParseResult parsed, params Option[] options)
    {
        foreach (Option option in options)
        {
            if (parsed.GetResult(option) is { Implicit: false }) throw new InputException($"{option.Name} does not go with --protocol {Protocol(parsed)}.");
        }
    }
}
