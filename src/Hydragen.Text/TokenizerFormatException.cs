namespace Hydragen.Text;

/// <summary>A tokenizer.json that is malformed, contradicts itself, or asks for something this library does not support.</summary>
/// <remarks>The message names the file, the JSON path of the field, what was found and what was expected.</remarks>
public sealed class TokenizerFormatException : FormatException
{
    /// <summary>Creates the exception for one field of one file.</summary>
    /// <param name="source">File name, or another name for the origin of the bytes.</param>
    /// <param name="path">JSON path of the field, such as <c>$.model.vocab</c>.</param>
    /// <param name="problem">What was found and what was expected.</param>
    /// <param name="innerException">The lower-level failure, if there is one.</param>
    public TokenizerFormatException(string source, string path, string problem, Exception? innerException = null)
        : base($"{source}: {path}: {problem}", innerException)
    {
        Path = path;
    }

    /// <summary>JSON path of the field that was refused.</summary>
    public string Path { get; }
}
