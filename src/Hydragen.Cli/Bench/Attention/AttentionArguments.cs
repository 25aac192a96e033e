using System.CommandLine;
using Hydragen.Cli.Commands;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>The options that say which shapes the attention benchmark measures.</summary>
internal sealed class AttentionArguments
{
    private const int MaxTokens = 1 << 24;
    private const int MaxHeads = 1024;
    private static readonly ElementType[] KvTypes = Enum.GetValues<ElementType>();

    private readonly Option<string> _protocol = Values.Choice(
        "--protocol", "The shapes to measure.", AttentionProtocols.Micro,
        AttentionProtocols.Published, AttentionProtocols.Micro, AttentionProtocols.Custom);

    private readonly Option<int[]> _batch = NumberList.Option("--batch", "Sequences (custom only; default 64).", 1, 65_536);
    private readonly Option<int[]> _prefix = NumberList.Option("--prefix", "Shared tokens (custom only; default 4096).", 0, MaxTokens);
    private readonly Option<int[]> _suffix = NumberList.Option(
        "--suffix", "Own tokens of each sequence (published and custom; default 0..512..16 and 128).", 0, MaxTokens);

    private readonly Option<int?> _heads = Values.OptionalInteger("--heads", "Query heads (custom only; default 8).", 1, MaxHeads);
    private readonly Option<int?> _kvHeads = Values.OptionalInteger("--kv-heads", "Key/value heads (custom only; default 2).", 1, MaxHeads);
    private readonly Option<int?> _headDim = Values.OptionalInteger("--head-dim", "Elements of a head (custom only; default 128).", 8, AttentionShape.MaxHeadDim);
    private readonly Option<int> _queryLength = Values.Integer("--query-length", "Query rows of each sequence.", 1, 1, 4096);
    private readonly Option<string> _kvType = Values.Choice(
        "--kv-type", "Type of keys, values and queries.", ElementType.BFloat16.ShortName(), [.. KvTypes.Select(type => type.ShortName())]);

    private readonly Option<bool> _warm = new("--warm") { Description = "Use the same data in every call, so that caches may keep it." };
    private readonly Option<long?> _maxKvMemory = Values.OptionalInteger(
        "--max-kv-memory", "The most memory for keys and values, in MiB; half of the memory when not given.", 1L, 1L << 30);

    public AttentionArguments(Command command)
    {
        foreach (Option option in (Option[])[
            _protocol, _batch, _prefix, _suffix, _heads, _kvHeads, _headDim, _queryLength, _kvType, _warm, _maxKvMemory])
        {
            command.Options.Add(option);
        }
    }

    /// <summary>What is to be measured.</summary>
    /// <exception cref="InputException">Options contradict one another.</exception>
    public AttentionSetup Read(ParseResult parsed, SharingMode[] modes, int repeats)
    {
        string protocol = parsed.GetValue(_protocol)!;
        if (protocol != AttentionProtocols.Custom) Refuse(parsed, protocol, _batch, _prefix, _heads, _kvHeads, _headDim);
        if (protocol == AttentionProtocols.Micro) Refuse(parsed, protocol, _suffix);
        (AttentionShape shape, IReadOnlyList<AttentionCell> cells) = protocol switch
        {
            AttentionProtocols.Published =>
                (AttentionProtocols.PublishedShape, AttentionProtocols.PublishedCells(NumberList.Get(parsed, _suffix, AttentionProtocols.PublishedSuffixes))),
            AttentionProtocols.Micro => (AttentionProtocols.MicroShape, AttentionProtocols.MicroCells),
            _ => (new AttentionShape(parsed.GetValue(_heads) ?? 8, parsed.GetValue(_kvHeads) ?? 2, parsed.GetValue(_headDim) ?? 128),
                AttentionProtocols.Product(NumberList.Get(parsed, _batch, 64), NumberList.Get(parsed, _prefix, 4096), NumberList.Get(parsed, _suffix, 128))),
        };
        int queryLength = parsed.GetValue(_queryLength);
        foreach (AttentionCell cell in cells)
        {
            // Queries that own no key see the whole prefix with sharing, but would see less of a copy of their own.
            if (queryLength > 1 && cell.Suffix < queryLength)
                throw new InputException($"--query-length {queryLength} needs suffixes of at least as many tokens, not {cell.Suffix}.");
            if (cell.Prefix + cell.Suffix == 0) throw new InputException("--prefix 0 and --suffix 0 leave nothing to attend to.");
        }
        ElementType kvType = KvTypes.Single(type => type.ShortName() == parsed.GetValue(_kvType));
        long maxBytes = parsed.GetValue(_maxKvMemory) << 20 ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2;
        return new AttentionSetup(protocol, shape, kvType, queryLength, cells, modes, repeats, parsed.GetValue(_warm), maxBytes);
    }

    private static void Refuse(ParseResult parsed, string protocol, params Option[] options)
    {
        foreach (Option option in options)
        {
            if (parsed.GetResult(option) is { Implicit: false })
                throw new InputException($"{option.Name} does not go with --protocol {protocol}, which fixes it; use --protocol custom.");
        }
    }
}
