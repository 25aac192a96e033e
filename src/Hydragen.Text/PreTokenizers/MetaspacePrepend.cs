namespace Hydragen.Text.PreTokenizers;

/// <summary>Where a <see cref="MetaspacePreTokenizer"/> adds a leading mark.</summary>
internal enum MetaspacePrepend
{
    /// <summary>Before every stretch between added tokens.</summary>
    Always,

    /// <summary>Only where the whole text begins.</summary>
    First,

    /// <summary>Nowhere.</summary>
    Never,
}
