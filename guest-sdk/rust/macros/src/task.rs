//! `#[task]`: checks the function, and adds the component's exports beside it.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, FnArg, ItemFn, Lit, Meta, Result, ReturnType, Signature, Type};

/// The unchanged function, followed by the exports or a compile error.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let exports = exports(options, &item).unwrap_or_else(Error::into_compile_error);
    quote! { #item #exports }
}

fn exports(options: TokenStream, item: &TokenStream) -> Result<TokenStream> {
    let Options { schema } = syn::parse2(options)?;
    let function: ItemFn = syn::parse2(item.clone())
        .map_err(|error| Error::new(error.span(), "#[task] goes on a function with a body"))?;
    let Shape { input, outcome } = Shape::of(&function.sig)?;
    let name = &function.sig.ident;
    let description = description(&function.attrs);

    let input_type = input.map_or_else(|| quote! { __sdk::IgnoredAny }, |input| quote! { #input });
    let call = match input {
        Some(_) => quote! { #name(ctx, input) },
        None => quote! { #name(ctx) },
    };
    let input_schema = input.filter(|_| schema).map(|input| quote! { .with_input::<#input>() });
    let output_schema = schema.then(|| quote! { .with_output::<<#outcome as __sdk::Outcome>::Output>() });

    // The type check happens on every target, the export on WebAssembly only.
    Ok(quote! {
        #[allow(dead_code, unused_variables)]
        const _: () = {
            use ::streamtask_sdk::__private as __sdk;

            struct __Task;

            impl __sdk::Task for __Task {
                type Input = #input_type;
                type Outcome = #outcome;
                const DESCRIPTION: &'static str = #description;

                fn call(ctx: &::streamtask_sdk::Context, input: Self::Input) -> Self::Outcome {
                    #call
                }

                fn schemas() -> __sdk::Schemas {
                    __sdk::Schemas::default() #input_schema #output_schema
                }
            }

            #[cfg(target_family = "wasm")]
            #[allow(unsafe_code)]
            const _: () = {
                type __Component = __sdk::Component<__Task>;
                __sdk::export_task!(__Component with_types_in __sdk::bindings);
            };
        };
    })
}

/// The arguments of `#[task(..)]`.
struct Options {
    schema: bool,
}

impl syn::parse::Parse for Options {
    fn parse(input: syn::parse::ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            return Ok(Self { schema: true });
        }
        let word: syn::Ident = input.parse()?;
        if word == "no_schema" && input.is_empty() {
            return Ok(Self { schema: false });
        }
        Err(Error::new(word.span(), "the only option of #[task] is `no_schema`"))
    }
}

/// The types in a task's signature.
struct Shape<'a> {
    input: Option<&'a Type>,
    outcome: &'a Type,
}

impl<'a> Shape<'a> {
    /// Reports errors that the compiler would report about generated code.
    fn of(sig: &'a Signature) -> Result<Self> {
        if let Some(token) = &sig.asyncness {
            let message = "a task is not async: its calls wait in the host, and `ctx.sleep` blocks no thread";
            return Err(Error::new(token.span(), message));
        }
        if let Some(token) = &sig.unsafety {
            return Err(Error::new(token.span(), "a task is not unsafe: the host calls it with any input"));
        }
        if let Some(generic) = sig.generics.type_params().next() {
            return Err(Error::new(generic.span(), "a task is not generic: it has one input and one output"));
        }
        if let Some(generic) = sig.generics.const_params().next() {
            return Err(Error::new(generic.span(), "a task is not generic: it has one input and one output"));
        }
        let (ctx, input, rest) = arguments(sig)?;
        if !matches!(ctx, Type::Reference(reference) if reference.mutability.is_none()) {
            return Err(Error::new(ctx.span(), "the first argument of a task is `&Context`"));
        }
        if let Some(input @ Type::Reference(_)) = input {
            return Err(Error::new(input.span(), "a task owns its input: take it by value"));
        }
        if let Some(extra) = rest {
            return Err(Error::new(extra.span(), "a task takes `&Context` and one input, no more"));
        }
        let ReturnType::Type(_, outcome) = &sig.output else {
            return Err(Error::new(sig.ident.span(), "a task returns `Result<Output, Failure>`"));
        };
        for ty in input.into_iter().chain([&**outcome]) {
            if let Some(word) = find_impl(quote! { #ty }) {
                return Err(Error::new(word.span(), "the types of a task have names: not `impl Trait`"));
            }
        }
        Ok(Self { input, outcome })
    }
}

/// The keyword `impl`, at any depth.
fn find_impl(tokens: TokenStream) -> Option<TokenTree> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Group(group) => find_impl(group.stream()),
        TokenTree::Ident(ref ident) if ident == "impl" => Some(token),
        _ => None,
    })
}

/// The first argument, the second, and one too many.
fn arguments(sig: &Signature) -> Result<(&Type, Option<&Type>, Option<&FnArg>)> {
    let mut arguments = sig.inputs.iter();
    let mut next = || match arguments.next() {
        Some(FnArg::Typed(argument)) => Ok(Some(&*argument.ty)),
        Some(FnArg::Receiver(receiver)) => {
            Err(Error::new(receiver.span(), "a task is a function on its own, not a method"))
        }
        None => Ok(None),
    };
    let Some(ctx) = next()? else {
        return Err(Error::new(sig.ident.span(), "the first argument of a task is `&Context`"));
    };
    let input = next()?;
    Ok((ctx, input, arguments.next()))
}

/// The doc comment, as an expression that is a `&'static str`; without one, the
/// description in the user's `Cargo.toml`.
fn description(attributes: &[Attribute]) -> TokenStream {
    let lines: Vec<_> = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(meta) if meta.path.is_ident("doc") => Some(doc_line(&meta.value)),
            _ => None,
        })
        .collect();
    if lines.is_empty() {
        return quote! {
            match ::core::option_env!("CARGO_PKG_DESCRIPTION") {
                ::core::option::Option::Some(text) => text,
                ::core::option::Option::None => "",
            }
        };
    }
    quote! { ::core::concat!(#(#lines, "\n"),*) }
}

/// Removes the leading space of a line of `/// text`. Other expressions, such as
/// `include_str!(..)`, stay unchanged.
fn doc_line(value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            let text = text.value();
            let line = text.strip_prefix(' ').unwrap_or(&text);
            quote! { #line }
        }
        other => quote! { #other },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error in a task; panics if there is none.
    fn complaint(options: &str, item: &str) -> String {
        let (options, item) = (options.parse().unwrap(), item.parse().unwrap());
        exports(options, &item).unwrap_err().to_string()
    }

    #[test]
    fn says_what_is_wrong_with_a_signature() {
        for (item, expected) in [
            ("async fn f(ctx: &Context) -> R { r() }", "not async"),
            ("unsafe fn f(ctx: &Context) -> R { r() }", "not unsafe"),
            ("fn f<T>(ctx: &Context, input: T) -> R { r() }", "not generic"),
            ("fn f<const N: usize>(ctx: &Context) -> R { r() }", "not generic"),
            ("fn f(&self, ctx: &Context) -> R { r() }", "not a method"),
            ("fn f() -> R { r() }", "first argument of a task is `&Context`"),
            ("fn f(input: Input) -> R { r() }", "first argument of a task is `&Context`"),
            ("fn f(ctx: &mut Context) -> R { r() }", "first argument of a task is `&Context`"),
            ("fn f(ctx: &Context, input: &Input) -> R { r() }", "take it by value"),
            ("fn f(ctx: &Context, input: impl Read) -> R { r() }", "have names"),
            ("fn f(ctx: &Context) -> Result<(u8, impl Serialize), Failure> { r() }", "have names"),
            ("fn f(ctx: &Context, a: A, b: B) -> R { r() }", "no more"),
            ("fn f(ctx: &Context) { r() }", "returns `Result<Output, Failure>`"),
            ("struct F;", "goes on a function"),
            ("fn f(ctx: &Context) -> R;", "goes on a function"),
        ] {
            let complaint = complaint("", item);
            assert!(complaint.contains(expected), "{item}: {complaint}");
        }
    }

    #[test]
    fn knows_one_option() {
        let item = "fn f(ctx: &Context) -> R { r() }";
        assert!(exports("no_schema".parse().unwrap(), &item.parse().unwrap()).is_ok());
        for options in ["schema", "no_schema, no_schema", "no_schema = true"] {
            assert!(complaint(options, item).contains("no_schema"), "{options}");
        }
    }

    #[test]
    fn a_wrong_task_keeps_its_function() {
        let item: TokenStream = "async fn f() {}".parse().unwrap();
        let expanded = expand(TokenStream::new(), item).to_string();
        assert!(expanded.starts_with("async fn f () { }"), "{expanded}");
        assert!(expanded.contains("compile_error"), "{expanded}");
    }
}
